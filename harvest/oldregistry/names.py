"""What tables and columns are called there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TABLES = {"runs": "library_collection_harvestrun", "events": "library_collection_harvestevent"}

#: By the names that they have here; a foreign key without its ``_id``, as dumpdata writes it.
COLUMNS = {
    "runs": ("dag_id", "dag_run_id", "logical_date", "dag_run_conf", "host", "status"),
    "events": (
        "harvest_run",
        "task_id",
        "try_number",
        "map_index",
        "rikolti_message",
        "error",
        "sns_timestamp",
        "sqs_message",
        "sns_message",
    ),
}


class UnknownName(Exception):
    """A name was given for something that there is not."""


@dataclass(frozen=True, slots=True)
class Names:
    """``tables``: "runs" and "events" → the table's name. ``columns``: (table, column here) → there."""

    tables: Mapping[str, str] = field(default_factory=lambda: TABLES)
    columns: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Names:
        """Read texts such as ``runs=harvests`` and ``runs.host=hostname``.

        Raises:
            UnknownName: one is of another form, or of no table or column that is read.
        """
        tables, columns = dict(TABLES), {}
        for text in texts:
            ours, _, theirs = text.partition("=")
            table, _, column = ours.partition(".")
            if not theirs or table not in TABLES or (column and column not in COLUMNS[table]):
                known = ", ".join((*TABLES, *(f"{t}.{c}" for t in TABLES for c in COLUMNS[t])))
                raise UnknownName(f"{text!r}: write OURS=THEIRS, where OURS is one of {known}")
            if column:
                columns[table, column] = theirs
            else:
                tables[table] = theirs
        return cls(tables, columns)

    def pick(self, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row by the names that its columns have here; None for those that it lacks."""
        picked = {}
        for column in COLUMNS[table]:
            theirs = self.columns.get((table, column), column)
            picked[column] = row.get(theirs, row.get(f"{theirs}_id"))
        return picked
