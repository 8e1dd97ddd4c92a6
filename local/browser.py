"""The Chromium that tests drive: one that is there, or Debian's, installed where that can be done.

`python -m local.browser` finds or installs it, and says where it is or why there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess

#: What the distributions call it. Google's own is as good.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: Seconds that apt may take.
PATIENCE = 600

NONE = (
    "There is no Chromium: install your system's package chromium, or name one with "
    "CHROMIUM=/path/to/chromium."
)


def find() -> str | None:
    """Return the path of the Chromium that CHROMIUM names, or else of one on the PATH.

    Raises:
        SystemExit: CHROMIUM names no program.
    """
    if named := os.environ.get("CHROMIUM"):
        if shutil.which(named) is None:
            raise SystemExit(f"CHROMIUM is {named!r}, which is no program.")
        return shutil.which(named)
    return next(filter(None, map(shutil.which, NAMES)), None)


def required() -> bool:
    """Return whether tests without a browser fail: in CI, where nobody would miss them."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def install() -> str:
    """Install Debian's Chromium, as root and where apt is. Return what went wrong, or nothing."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return "It is installed for you only where apt-get is, and as root."
    print("Installing Debian's chromium for the tests in a browser (once) …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        try:
            ended = subprocess.run(  # noqa: S603 - our own words
                [apt, "--quiet", *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"apt-get {words[0]} took longer than {PATIENCE} seconds."
        if ended.returncode != 0:
            return f"apt-get {words[0]} failed: {ended.stdout.strip()[-500:]}"
    return ""


def main() -> None:
    """Find or install a browser. Without one, end well where tests can do without: they are skipped."""
    problem = "" if find() else install()
    path = find()
    if path is not None:
        print(f"Tests in a browser: {path}")
        return
    message = " ".join(filter(None, (NONE, problem)))
    if required():
        raise SystemExit(f"{message} CI is set, so nothing is skipped.")
    print(f"{message} The tests in a browser are skipped.")


if __name__ == "__main__":
    main()
