"""What a benchmark finds: figures beside their goals, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. ``at_most`` or ``at_least`` is its goal; a figure without one is for information.

    ``why`` says why the goal may not be met, and what would meet it.
    """

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    why: str = ""

    @property
    def met(self) -> bool | None:
        """Return whether the goal is met, or None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.at_least is not None:
            return self.value >= self.at_least
        return None

    @property
    def goal(self) -> str:
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}" if self.at_least is not None else ""


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as aligned lines: name, value, goal, whether it is met; then why it is not."""
    verdicts = {True: "met", False: "NOT MET", None: ""}
    rows = [(figure.name, _written(figure), figure.goal, verdicts[figure.met]) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {goal:<{widths[2]}}  {verdict}".rstrip()
        for name, value, goal, verdict in rows
    ]
    reasons = dict.fromkeys(figure.why for figure in figures if figure.met is False and figure.why)
    return "\n".join([*lines, *(f"\n{reason}" for reason in reasons)])


def _written(figure: Figure) -> str:
    """Return the value with its unit. Of less than a tenth two digits count, however small it is."""
    small = 0 < abs(figure.value) < 0.1
    return f"{figure.value:{'.2g' if small else ',.2f'}} {figure.unit}".strip()


def save(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures with their goals as JSON, beside those of other benchmarks that it has."""
    known = {}
    if path.exists():
        renewed = {figure.name.partition(":")[0] for figure in figures}
        known = {
            figure["name"]: figure
            for figure in json.loads(path.read_text())
            if figure["name"].partition(":")[0] not in renewed
        }
    known |= {figure.name: {**asdict(figure), "met": figure.met} for figure in figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([*known.values()], indent=2) + "\n")
