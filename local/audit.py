"""`make audit`: look the pinned packages up in the database of known vulnerabilities.

pip-audit asks PyPI for what is known of each pin. Where PyPI can't be reached, or a mirror answers that
has no such database, nothing is known, which is no good news: it says so in one sentence, and fails.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from avram.environment import ROOT

#: What pip-audit says of a database that is not there: all our packages are PyPI's.
UNREACHED = ("requests.exceptions", "could not be audited", "ConnectionError")


def main(files: list[str]) -> None:
    requirements = [argument for file in files for argument in ("--requirement", file)]
    result = subprocess.run(  # noqa: S603 - all of it is ours
        [
            str(Path(sys.executable).with_name("pip-audit")),
            # The pins are complete: nothing is to be resolved, or installed, to know them.
            *("--no-deps", "--disable-pip", "--strict", "--progress-spinner=off", "--timeout=10"),
            *requirements,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode and any(sign in result.stderr for sign in UNREACHED):
        sys.exit("Nothing was audited: the database of vulnerabilities can't be reached from here.")
    print(result.stdout, end="")
    print(result.stderr, end="", file=sys.stderr)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
