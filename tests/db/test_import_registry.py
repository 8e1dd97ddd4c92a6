"""Taking over today's registry: its runs and events, by its database or a file, and the proof."""

from __future__ import annotations

import json
import sqlite3
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection
from pytest_django import Settings

from avram.environment import parse_database_url
from harvest import reconcile, recording
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage, RunChange
from harvest.oldregistry import DatabaseSource, Names, Unreadable, importing
from tests.factories import START, airflow_event, make_collection, message, sns_body

pytestmark = pytest.mark.django_db

RUN_ID = "manual__2026-11-24T05:21:34+00:00"


def old_run(pk: int = 1, **fields: Any) -> dict[str, Any]:
    """A row of the registry's runs."""
    return {
        "id": pk,
        "dag_id": "harvest_collection",
        "dag_run_id": f"{RUN_ID}-{pk}",
        "logical_date": "2024-11-24 05:21:34",
        "dag_run_conf": {"collection_id": "27551"},
        "host": "https://airflow.example.org",
        "status": "succeeded",
        **fields,
    }


def old_event(pk: int = 1, run: int = 1, **fields: Any) -> dict[str, Any]:
    """A row of its events, as columns tell it."""
    return {
        "id": pk,
        "harvest_run_id": run,
        "task_id": f"fetching.fetch_{pk}",
        "try_number": 1,
        "map_index": -1,
        "rikolti_message": {"vernacular_version": "27551/vernacular_metadata_2026-11-24T05:21:45/"},
        "error": False,
        "sns_timestamp": f"2024-11-24 05:{pk % 60:02}:00+00:00",
        "sqs_message": None,
        "sns_message": None,
        **fields,
    }


def end(pk: int, run: int = 1, **fields: Any) -> dict[str, Any]:
    return old_event(pk, run, rikolti_message={"dag_complete": True}, **fields)


class Registry:
    """Today's registry with some rows: as a file of dumpdata, and as a database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, list[dict[str, Any]]] = {"harvestrun": [], "harvestevent": []}

    def add(self, *, runs: Any = (), events: Any = ()) -> None:
        self.rows["harvestrun"] += runs
        self.rows["harvestevent"] += events

    def objects(self) -> list[dict[str, Any]]:
        """The rows as dumpdata writes them: a foreign key goes by the name of its field."""
        return [
            {
                "model": f"library_collection.{model}",
                "pk": row["id"],
                "fields": {"harvest_run" if key == "harvest_run_id" else key: value
                           for key, value in row.items() if key != "id"},
            }
            for model, rows in self.rows.items()
            for row in rows
        ]  # fmt: skip

    def file(self) -> str:
        file = self.folder / "registry.jsonl"
        file.write_text("".join(json.dumps(one) + "\n" for one in self.objects()))
        return str(file)

    def database(self) -> dict[str, Any]:
        """Make a database of it, and return what Django's settings say of that."""
        file = self.folder / "registry.sqlite3"
        connection = sqlite3.connect(file)
        for model, rows in self.rows.items():
            columns = list((old_run() if model == "harvestrun" else old_event()).keys())
            table = f"library_collection_{model}"
            connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            connection.executemany(
                f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})",
                [[_cell(row[column]) for column in columns] for row in rows],
            )
        connection.commit()
        connection.close()
        return parse_database_url(f"sqlite:///{file}")


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def take(*arguments: str) -> str:
    output = StringIO()
    call_command("import_registry", *arguments, stdout=output, no_color=True)
    return output.getvalue()


def statuses() -> list[str]:
    return list(HarvestRun.objects.order_by("dag_run_id").values_list("status", flat=True))


@pytest.mark.parametrize("source", ["file", "array", "database"])
def test_runs_and_events_come_over(registry: Registry, source: str, settings: Settings) -> None:
    make_collection()
    registry.add(
        runs=[old_run(1), old_run(2, status="failed"), old_run(3, status="running")],
        events=[old_event(1), end(2), old_event(3, 2, error=True), old_event(4, 3)],
    )
    arguments = ["--from", registry.file()]
    if source == "array":
        Path(arguments[1]).write_text(json.dumps(registry.objects()))
    if source == "database":
        settings.REGISTRY_DATABASE, arguments = registry.database(), []

    output = take(*arguments)

    assert (
        "3 runs read: 3 made, 0 known, 0 rejected; 4 events read: 4 stored, 0 duplicates, 0 rejected\n"
    ) in output
    assert statuses() == ["succeeded", "failed", "running"]
    first = HarvestRun.objects.get(dag_run_id=f"{RUN_ID}-1")
    assert first.collection_id == 27551
    assert (first.tasks_done, first.status_source) == (1, "events")
    event = first.events.get(task_id="fetching.fetch_1")
    assert event.version == "27551/vernacular_metadata_2026-11-24T05:21:45/"
    assert (event.sns_timestamp.year, event.sns_timestamp.minute) == (2024, 1)


def test_second_time_finds_all_there(registry: Registry) -> None:
    registry.add(runs=[old_run()], events=[old_event(1), end(2)])
    file = registry.file()
    take("--from", file)
    before = list(HarvestRun.objects.values()), list(RunChange.objects.values())

    output = take("--from", file)

    assert "0 made, 1 known" in output
    assert "0 stored, 2 duplicates" in output
    assert (list(HarvestRun.objects.values()), list(RunChange.objects.values())) == before


def test_message_that_was_kept_is_read_as_one_that_arrives(registry: Registry) -> None:
    """The id is the publication's, so that a copy which still comes by the queue is known."""
    arriving = message(dag_run_id=f"{RUN_ID}-1", message_id="of the topic")
    body = json.loads(arriving.body)
    registry.add(
        runs=[old_run()],
        events=[
            old_event(1, sns_message=body, task_id="not read"),
            old_event(
                2,
                sqs_message={
                    "MessageId": "of the queue",
                    "Body": sns_body(airflow_event(dag_run_id=f"{RUN_ID}-1"), message_id="second"),
                },
            ),
            old_event(
                3, sns_message={**body, "MessageId": "third", "Message": json.loads(body["Message"])}
            ),
        ],
    )

    take("--from", registry.file())

    assert set(HarvestEvent.objects.values_list("message_id", flat=True)) == {
        "of the topic", "second", "third",
    }  # fmt: skip
    assert not HarvestEvent.objects.filter(task_id="not read").exists()
    assert recording.record([arriving]).duplicates == 1


def test_signatures_are_not_asked_for(registry: Registry, settings: Settings) -> None:
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    registry.add(runs=[old_run()], events=[old_event(1), end(2)])

    assert "2 stored" in take("--from", registry.file())


def test_copies_there_are_one_here(registry: Registry) -> None:
    body = json.loads(message(dag_run_id=f"{RUN_ID}-1").body)
    registry.add(runs=[old_run()], events=[old_event(n, sns_message=body) for n in (1, 2, 3)])

    for arguments in (["--dry-run"], []):
        assert "1 stored, 2 duplicates" in take("--from", registry.file(), *arguments)


def test_what_is_malformed_is_counted_with_its_reason_and_kept(registry: Registry) -> None:
    registry.add(
        runs=[old_run(), old_run(2, dag_id=None), old_run(3, logical_date="yesterday")],
        events=[old_event(1), old_event(2, run=99), old_event(3, map_index="first")],
    )

    output = take("--from", registry.file())

    assert "1 made, 0 known, 2 rejected" in output
    assert "1 stored, 0 duplicates, 2 rejected" in output
    for reason in (
        "run: missing_key, dag_id",
        "run: bad_date",
        "event: missing_key",
        "event: wrong_type",
    ):
        assert f"1 times {reason}" in output
    assert RejectedMessage.objects.count() == 2


def test_history_is_no_news(registry: Registry) -> None:
    registry.add(
        runs=[old_run(1), old_run(2, status="failed"), old_run(3, status="running"), old_run(4)],
        events=[end(1), old_event(2, 2, error=True), old_event(3, 3)],
    )

    take("--from", registry.file())
    for run in HarvestRun.objects.all():
        reconcile.look_at(run.pk)

    assert RunChange.objects.exists()
    assert not RunChange.objects.filter(quiet=False).exists()
    assert {change.changed_at.year for change in RunChange.objects.all()} == {2024}
    assert HarvestRun.objects.get(dag_run_id=f"{RUN_ID}-3").stale_since is not None


def test_status_there_stands_where_events_are_lost(registry: Registry) -> None:
    registry.add(
        runs=[old_run(1), old_run(2, status="failed")],
        events=[old_event(1)],  # and not the one that ended it
    )

    output = take("--from", registry.file())

    assert statuses() == ["succeeded", "failed"]
    assert set(HarvestRun.objects.values_list("status_note", flat=True)) == {
        "the status that the old registry had"
    }
    assert "succeeded            succeeded         1\n" in output


def test_events_stand_against_another_status_there(registry: Registry) -> None:
    registry.add(runs=[old_run(status="failed")], events=[old_event(1), end(2)])

    output = take("--from", registry.file())

    assert statuses() == ["succeeded"]
    assert "failed               succeeded         1\n" in output


def test_later_event_overrides_a_status_from_there(registry: Registry) -> None:
    registry.add(runs=[old_run(1)], events=[old_event(1)])
    take("--from", registry.file())

    result = recording.record([message(dag_run_id=f"{RUN_ID}-1", at=START)])
    assert result.run_id is not None
    recording.recompute(result.run_id)

    assert statuses() == ["running"]


def test_dry_run_says_the_same_and_writes_nothing(registry: Registry) -> None:
    registry.add(runs=[old_run(), old_run(2, dag_id="")], events=[old_event(1), old_event(2, run=7)])

    told = take("--from", registry.file(), "--dry-run")

    assert not HarvestRun.objects.exists()
    assert not RejectedMessage.objects.exists()
    counts = next(line for line in told.splitlines() if "runs read" in line)
    assert counts in take("--from", registry.file())


def test_import_that_was_stopped_goes_on(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "CHUNK", 2)
    registry.add(runs=[old_run()], events=[*(old_event(n) for n in range(1, 6)), end(6)])
    file = registry.file()
    fill_in, calls = recording.fill_in_events, iter([True, True])

    def fail_third(messages: Any) -> Any:
        if next(calls, False):
            return fill_in(messages)
        raise OperationalError("gone away")

    with monkeypatch.context() as patch:
        patch.setattr(recording, "fill_in_events", fail_third)
        with pytest.raises(CommandError, match=r"4 stored.*gone away. Run this again"):
            take("--from", file)
    assert HarvestEvent.objects.count() == 4

    assert "2 stored, 4 duplicates" in take("--from", file)
    assert statuses() == ["succeeded"]


def test_count_that_is_not_true_is_an_error(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add(runs=[old_run()], events=[old_event(1)])
    monkeypatch.setattr(
        recording, "fill_in_events", lambda messages: recording.Recorded(recorded=len(messages))
    )

    with pytest.raises(CommandError, match="0 runs and 1 events are not there"):
        take("--from", registry.file())


def test_other_names(registry: Registry) -> None:
    registry.add(runs=[{**old_run(), "hostname": "https://other.example.org"}])
    file = Path(registry.file())
    file.write_text(file.read_text().replace("library_collection.harvestrun", "registry.harvest"))

    take("--from", str(file), "--name", "runs=registry_harvest", "--name", "runs.host=hostname")

    assert HarvestRun.objects.get().host == "https://other.example.org"


def test_source_is_only_read(registry: Registry) -> None:
    registry.add(runs=[old_run()])
    database = registry.database()
    source = DatabaseSource(database, Names())
    assert len(list(source.rows("runs"))) == 1

    with pytest.raises(OperationalError, match="readonly"), source._connection.cursor() as cursor:
        cursor.execute("DELETE FROM library_collection_harvestrun")

    with pytest.raises(Unreadable, match="no such table"):
        list(DatabaseSource(database, Names({"runs": "x"})).rows("runs"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --from FILE, or set REGISTRY_DATABASE_URL"),
        (["--from", "/nowhere/at/all"], "No such file"),
        (["--name", "hosts=x"], "OURS is one of runs, events, runs.dag_id"),
    ],
)
def test_mistakes_are_said(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        take(*arguments)


@pytest.mark.parametrize("text", ["[1]", "{}\n", "{", '{"model": "x", "fields": 1}'])
def test_file_that_is_something_else(tmp_path: Path, text: str) -> None:
    file = tmp_path / "registry.jsonl"
    file.write_text(text)

    with pytest.raises(CommandError, match=r"registry\.jsonl"):
        take("--from", str(file))


@pytest.mark.skipif("connection.vendor != 'postgresql'")
@pytest.mark.django_db(transaction=True)
def test_source_on_postgresql(settings: Settings) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TABLE old_runs AS
                SELECT 5 AS id, 'harvest_collection' AS dag_id, 'r' AS dag_run_id, 'succeeded' AS status,
                    now() - interval '1 year' AS logical_date, '{}'::jsonb AS dag_run_conf;
            CREATE TABLE old_events AS
                SELECT 6 AS id, 5 AS harvest_run_id, now() - interval '1 year' AS sns_timestamp,
                    '{"dag_complete": false}'::jsonb AS rikolti_message
            """
        )
    try:
        settings.REGISTRY_DATABASE = {**settings.DATABASES["default"], **connection.settings_dict}
        output = take("--name", "runs=old_runs", "--name", "events=old_events")

        assert "1 stored" in output
        assert statuses() == ["failed"]
        source = DatabaseSource(settings.REGISTRY_DATABASE, Names())
        with pytest.raises(DatabaseError, match="read-only"), source._connection.cursor() as cursor:
            cursor.execute("DROP TABLE old_runs")
        source.close()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE old_runs; DROP TABLE old_events")
