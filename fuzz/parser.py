"""The first stage: the pure modules, guided by coverage.

A process of its own, since libFuzzer ends it: at the first input that breaks a promise, takes longer
than clock.TIMEOUT or more memory than MEMORY. Such an input is left in the folder as a file.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["harvest"]):
    from fuzz import properties, signatures

from fuzz import bodies, clock

#: MiB for the process.
MEMORY = 1024

#: Inputs between lines of progress.
PROGRESS = 10_000


def main(folder: Path, inputs: int, seed: int) -> None:
    """Try so many inputs, from ``folder/corpus`` on. Count them in ``folder/counts.json``: what became
    of them, and how many could be signed."""
    counts: Counter[str] = Counter()
    n_signed = 0
    seeds = [file.read_bytes() for file in sorted((folder / "corpus").iterdir())]

    def try_input(data: bytes) -> None:
        nonlocal n_signed
        message = properties.sqs_message(bodies.decode(data))
        counts[properties.check(message)] += 1
        n_signed += signatures.check(message)
        done = counts.total()
        if done % PROGRESS == 0:
            print(f"{done:,} of {inputs:,} inputs …", flush=True)
        if done == inputs:
            (folder / "counts.json").write_text(json.dumps([counts, n_signed]))
            sys.stderr.flush()
            os._exit(0)  # libFuzzer knows no other way to be told that it is enough

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        changed = bodies.mutate(data, seeds, rng, lambda part: atheris.Mutate(part, bodies.MAX_LENGTH))
        return changed[:max_size]

    options = (
        f"-seed={seed}",
        "-mutate_depth=1",  # one mutation at a time: bodies.mutate makes a few
        f"-timeout={clock.TIMEOUT}",
        f"-rss_limit_mb={MEMORY}",
        f"-max_len={bodies.MAX_LENGTH}",
        f"-dict={folder / 'words'}",
        f"-artifact_prefix={folder}/",
        str(folder / "corpus"),
    )
    atheris.Setup([sys.argv[0], *options], try_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
