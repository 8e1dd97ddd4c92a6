"""Where rows are read from: a second database, or a file of dumpdata. Rows come in order of their id,
a slice at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from django.db import DatabaseError
from django.db.utils import ConnectionHandler

from harvest.oldregistry.names import Names

#: Rows of one query.
SLICE = 1_000


class Unreadable(Exception):
    """The source is not there, or holds something else. Says what."""


#: Id of a row there, and its columns by the names that they have here.
Row = tuple[int, dict[str, Any]]


class Source(Protocol):
    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of "runs" or "events". Raises Unreadable."""


class DatabaseSource:
    """A database that Django knows, by its settings."""

    def __init__(self, settings: Mapping[str, Any], names: Names) -> None:
        options = _read_only(settings["ENGINE"], settings.get("OPTIONS", {}))
        self._connection = ConnectionHandler({"default": {**settings, "OPTIONS": options}})["default"]
        self._names = names

    def rows(self, table: str) -> Iterator[Row]:
        name = self._connection.ops.quote_name(self._names.tables[table])
        query = f"SELECT * FROM {name} WHERE id > %s ORDER BY id LIMIT {SLICE}"  # noqa: S608 - quoted
        last = 0
        while True:
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute(query, [last])
                    columns = [column[0] for column in cursor.description]
                    found = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            except DatabaseError as error:
                raise Unreadable(f"{self._names.tables[table]}: {error}") from error
            rows = [(row["id"], self._names.pick(table, row)) for row in found]
            if not rows:
                return
            yield from rows
            last = rows[-1][0]

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def _read_only(engine: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a connection that only reads, whatever else they say."""
    if "sqlite3" in engine:
        return {**options, "init_command": "PRAGMA query_only=ON;"}
    own = f"{options.get('options', '')} -c default_transaction_read_only=on"
    return {"connect_timeout": 5, **options, "options": own.strip()}


class FileSource:
    """What ``manage.py dumpdata`` wrote: with ``--format jsonl`` a line an object, which is read as it
    comes; or one JSON array, which has to fit into memory."""

    def __init__(self, file: Path, names: Names) -> None:
        self._file, self._names = file, names

    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table, which the file names by app and model: ``library_collection_x`` is
        ``library_collection.x``."""
        for place, item in self._objects():
            if not isinstance(item, dict) or not isinstance(item.get("fields"), dict):
                raise Unreadable(f"{place}: not what dumpdata writes")
            if str(item.get("model")).replace(".", "_") == self._names.tables[table]:
                yield item["pk"], self._names.pick(table, item["fields"])

    def _objects(self) -> Iterator[tuple[str, Any]]:
        try:
            with self._file.open(encoding="utf-8") as lines:
                start = lines.read(1)
                lines.seek(0)
                if start == "[":
                    for number, item in enumerate(json.load(lines), 1):
                        yield f"{self._file}, object {number}", item
                    return
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield f"{self._file}:{number}", json.loads(line)
        except (OSError, ValueError, RecursionError) as error:
            raise Unreadable(f"{self._file}: {error}") from error
