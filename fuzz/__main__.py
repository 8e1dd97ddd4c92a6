"""`make fuzz`: both stages and a closing line. `python -m fuzz FILE` looks at one body again."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
import traceback
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import django
from django.db import connection
from django.test.utils import setup_test_environment

from avram.environment import ROOT
from fuzz import bodies, clock, properties, signatures
from tests import environment

#: The first stage begins with the real messages, and says nothing of coverage before it has had them.
FEWEST = 200

#: Inputs of the second stage between lines of progress.
PROGRESS = 500

#: Where an input that breaks a promise is left.
FINDINGS = Path(os.environ.get("VAR_DIR") or ROOT / "var") / "fuzz"


class Finding(Exception):
    """An input broke a promise: the text says which, and how to look at it again."""


def main() -> None:
    parser = ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="look at these bodies")
    parser.add_argument("--inputs", type=int, default=100_000, help="of both stages (%(default)s)")
    parser.add_argument("--tables", type=int, default=2_000, help="of the second (%(default)s)")
    parser.add_argument("--seed", type=int, help="to have much the same inputs again")
    options = parser.parse_args()
    if options.inputs < FEWEST:
        parser.error(f"--inputs is at least {FEWEST}")
    tables = min(options.tables, options.inputs // 2)
    seed = options.seed or random.randrange(1, 2**31)
    try:
        with database(), tempfile.TemporaryDirectory(prefix="avram-fuzz-") as folder:
            if options.files:
                look_at(options.files)
            else:
                fuzz(Path(folder), options.inputs - tables, tables, seed)
    except Finding as finding:
        sys.exit(str(finding))


def look_at(files: Sequence[Path]) -> None:
    """Hold bodies against everything, and let out what that raises."""
    from fuzz import tables

    found = {file: file.read_bytes() for file in files}
    for file, body in found.items():
        with clock.at_most(clock.TIMEOUT):
            message = properties.sqs_message(bodies.decode(body))
            print(f"{file}: {properties.check(message)}")
            signatures.check(message)
            tables.check(body)
    with clock.at_most(clock.PAGES_TIMEOUT):
        tables.check_pages(tables.staff(), list(found.values()))


def fuzz(folder: Path, parser_inputs: int, table_inputs: int, seed: int) -> None:
    print(f"seed {seed}", flush=True)
    counts, n_signed, coverage = parser_stage(folder, parser_inputs, seed)
    counts += tables_stage(folder / "corpus", table_inputs, seed)
    events = counts.pop(properties.EVENT, 0)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
    print(
        f"{events + counts.total():,} inputs: {events:,} events, {counts.total():,} rejected "
        f"({reasons}), 0 crashes; {coverage} branches covered, {n_signed:,} inputs signed and altered"
    )


def parser_stage(folder: Path, inputs: int, seed: int) -> tuple[Counter[str], int, int]:
    """Run the first stage. Return what became of its inputs, how many of them could be signed, and how
    many branches it took."""
    from fuzz.seeds import seeds

    (folder / "corpus").mkdir()
    for number, body in enumerate(seeds()):
        (folder / "corpus" / f"seed-{number:03}").write_bytes(body)
    words = [word for word in bodies.WORDS if word.isprintable() and 0 < len(word) < 64]
    (folder / "words").write_text("".join(f'"{word}"\n' for word in words))
    said = ""
    with subprocess.Popen(
        [sys.executable, "-m", "fuzz.parser", str(folder), str(inputs), str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            said += line
            if line.endswith("…\n"):
                print(line, end="", flush=True)
    if process.returncode:
        told = "\n".join(line for line in said.splitlines() if not line.startswith(("#", "INFO")))
        for file in sorted(folder.glob("*-*")):  # crash-…, timeout-…, oom-…
            raise Finding(f"{told}\n{keep([file.read_bytes()])}")
        raise Finding(f"{told}\nThe first stage ended with {process.returncode}.")
    coverage = int(re.findall(r" cov: (\d+)", said)[-1])
    counts, n_signed = json.loads((folder / "counts.json").read_text())
    return Counter(counts), n_signed, coverage


def tables_stage(corpus: Path, inputs: int, seed: int) -> Counter[str]:
    """Run the second stage, from what the first found worth keeping."""
    from fuzz import tables

    known = [file.read_bytes() for file in sorted(corpus.iterdir())]
    rng = random.Random(seed)
    client = tables.staff()
    counts: Counter[str] = Counter()
    recent: list[bytes] = []
    for number in range(1, inputs + 1):
        body = bodies.mutate(rng.choice(known), known, rng, bodies.flip_bytes(rng))[: bodies.MAX_LENGTH]
        recent.append(body)
        tried = [body]
        try:
            with clock.at_most(clock.TIMEOUT):
                counts[tables.check(body)] += 1
            if len(recent) == tables.ON_A_PAGE or number == inputs:
                tried, recent = recent, []
                with clock.at_most(clock.PAGES_TIMEOUT):
                    tables.check_pages(client, tried)
        except (Exception, clock.TooLong):
            raise Finding(f"{traceback.format_exc()}\n{keep(tried)}") from None
        if number % PROGRESS == 0:
            print(f"{number:,} of {inputs:,} inputs on {connection.vendor} …", flush=True)
    return counts


def keep(inputs: Sequence[bytes]) -> str:
    """Save what broke a promise, alone or together. Return words on how to look at it again."""
    FINDINGS.mkdir(parents=True, exist_ok=True)
    files = [FINDINGS / sha256(body).hexdigest()[:16] for body in inputs]
    for file, body in zip(files, inputs, strict=True):
        file.write_bytes(body)
    return f"A promise is broken. Look again: {sys.executable} -m fuzz {' '.join(map(str, files))}"


@contextmanager
def database() -> Iterator[None]:
    """Have an empty database for a while: on SQLite, or with TEST_ENGINE=postgresql on PostgreSQL."""
    django.setup()
    setup_test_environment(debug=False)
    logging.disable(logging.ERROR)  # each rejected message
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
        environment.pytest_unconfigure()


if __name__ == "__main__":
    main()
