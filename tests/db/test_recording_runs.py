from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from harvest import recording
from harvest.models import HarvestEvent, HarvestRun
from harvest.sns import SqsMessage
from tests.db.loaded import loaded
from tests.factories import (
    START,
    complete,
    failed,
    make_collection,
    make_run,
    make_trigger,
    message,
    task_error,
)

pytestmark = pytest.mark.django_db

Status = HarvestRun.Status
HOUR = timedelta(hours=1)


def store(*messages: SqsMessage) -> HarvestRun:
    """Do what a chain of tasks does, for each message, and return the run."""
    for received in messages:
        run_id = recording.record([received]).run_id
        assert run_id is not None
        recording.recompute(run_id)
    return HarvestRun.objects.get(events__sqs_message__MessageId=messages[-1].message_id)


def recompute(run: HarvestRun) -> HarvestRun:
    """Recompute a run and return what the database has of it."""
    recording.recompute(run.pk)
    return HarvestRun.objects.get(pk=run.pk)


# --- The status rule ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rikolti_message", "status"),
    [
        ({"error": True, "exception": "KeyError"}, Status.FAILED),
        ({"dag_complete": False, "error": True, "reason": "task_failure"}, Status.FAILED),
        ({"dag_complete": False}, Status.FAILED),
        ({"dag_complete": True, "error": True}, Status.FAILED),
        ({"dag_complete": True}, Status.SUCCEEDED),
        ({"error": False}, Status.RUNNING),
        ({"error": None}, Status.RUNNING),
        ("no error, dag_complete", Status.RUNNING),
        (["error"], Status.RUNNING),
        ({}, Status.RUNNING),
        (None, Status.RUNNING),
    ],
    ids=str,
)
def test_recompute_newest_event_decides(rikolti_message: object, status: Status) -> None:
    run = store(message(seconds=0), message(seconds=1, rikolti_message=rikolti_message))

    assert run.status == status
    assert run.status_source == HarvestRun.StatusSource.EVENTS


def test_recompute_other_tasks_go_on_after_an_error() -> None:
    assert store(task_error(seconds=1), message(seconds=2)).status == Status.RUNNING


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_recompute_task_that_was_cleared_after_the_end_runs_again(order: tuple[int, ...]) -> None:
    events = [message(seconds=0), complete(seconds=1), message(seconds=2)]

    assert store(*(events[index] for index in order)).status == Status.RUNNING


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_recompute_run_that_ends_twice_tells_the_second_end(order: tuple[int, ...]) -> None:
    events = [failed(seconds=0), message(seconds=1), complete(seconds=2), task_error(seconds=1.5)]

    assert store(*(events[index] for index in order)).status == Status.SUCCEEDED


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_recompute_tie_goes_to_the_event_of_the_whole_run(order: tuple[int, ...]) -> None:
    events = [complete(message_id="5"), task_error(message_id="9"), message(message_id="1")]

    assert store(*(events[index] for index in order)).status == Status.SUCCEEDED


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_recompute_tie_of_equals_goes_to_the_larger_message_id(order: tuple[int, ...]) -> None:
    # By code points, whatever the database's collation: "B" < "a" < "b".
    events = [message(message_id="a"), task_error(message_id="b"), message(message_id="B")]

    assert store(*(events[index] for index in order)).status == Status.FAILED


def test_recompute_milliseconds_count() -> None:
    assert store(message(seconds=0.002), complete(seconds=0.001)).status == Status.RUNNING


def test_recompute_first_and_last_event() -> None:
    run = store(message(seconds=5), message(seconds=1), message(seconds=3))

    assert run.first_event_at == START + timedelta(seconds=1)
    assert run.last_heard_at == START + timedelta(seconds=5)


def test_recompute_twice_changes_nothing() -> None:
    run = store(message(), complete(seconds=1))
    before = HarvestRun.objects.values().get()

    recompute(run)

    assert HarvestRun.objects.values().get() == before


def test_recompute_run_without_events_is_left_as_it_is() -> None:
    run = make_run(status=Status.FAILED, dag_run_conf={"collection_id": "5"})

    run = recompute(run)

    assert run.status == Status.FAILED
    assert run.dag_run_conf == {"collection_id": "5"}


def test_recompute_run_that_is_gone() -> None:
    run = make_run()
    run_id = run.pk
    run.delete()

    assert recording.recompute(run_id) is None
    assert recording.mark_stale(run_id) is None


@pytest.mark.parametrize(
    ("apart", "many"),
    [(timedelta(milliseconds=1), 10_000), (timedelta(0), 1_000)],
    ids=["one after the other", "at the same moment"],
)
def test_recompute_asks_as_much_of_many_events_as_of_few(apart: timedelta, many: int) -> None:
    run = store(message(seconds=-1, rikolti_message={"dag_complete": True}))

    def queries(count: int) -> int:
        HarvestEvent.objects.bulk_create(
            HarvestEvent(
                message_id=f"event-{index}",
                harvest_run=run,
                sns_timestamp=START + index * apart,
                outcome=Status.SUCCEEDED,
                logical_date=START,
                dag_run_conf={"collection_id": "27551"},
                recorded_at=START,
            )
            for index in range(run.events.count(), count)
        )
        with CaptureQueriesContext(connection) as captured:
            recording.recompute(run.pk)
        run.refresh_from_db()
        assert run.status == Status.SUCCEEDED
        return len(captured)

    assert queries(10) == queries(many)


@pytest.mark.parametrize("conf", [{}, {"collection_id": "27551"}], ids=["no conf", "conf"])
def test_recompute_reads_no_more_of_many_tied_events_than_of_few(conf: dict[str, str]) -> None:
    run = store(message())
    HarvestEvent.objects.bulk_create(
        HarvestEvent(
            message_id=f"event-{index}",
            harvest_run=run,
            sns_timestamp=START + HOUR,
            outcome=Status.RUNNING,
            logical_date=START,
            dag_run_conf=conf,
            recorded_at=START,
        )
        for index in range(100)
    )
    with loaded(HarvestEvent) as read:
        recompute(run)

    assert read[0].message_id == "event-99"
    assert len(read) <= 2


# --- A person's word ------------------------------------------------------------------------------


def test_set_status_by_a_person() -> None:
    before = timezone.now()
    run = store(complete(at=before - HOUR))

    recording.set_status(run.pk, Status.FAILED, "nothing was published")

    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert run.status_source == HarvestRun.StatusSource.PERSON
    assert run.status_note == "nothing was published"
    assert run.status_set_at is not None
    assert before <= run.status_set_at <= timezone.now()


def test_set_status_stands_when_recomputed() -> None:
    run = store(message(at=timezone.now() - HOUR))
    recording.set_status(run.pk, Status.FAILED)

    assert recompute(run).status == Status.FAILED


def test_set_status_stands_against_an_event_that_comes_late() -> None:
    run = store(message(at=timezone.now() - 2 * HOUR))
    recording.set_status(run.pk, Status.FAILED, "lost")

    run = store(complete(at=timezone.now() - HOUR))

    assert run.status == Status.FAILED
    assert run.status_source == HarvestRun.StatusSource.PERSON
    assert run.status_note == "lost"


def test_set_status_yields_to_an_event_that_is_newer() -> None:
    run = store(message(at=timezone.now() - 2 * HOUR))
    recording.set_status(run.pk, Status.FAILED, "lost")

    run = store(message(at=timezone.now() + HOUR))

    assert run.status == Status.RUNNING
    assert run.status_source == HarvestRun.StatusSource.EVENTS
    assert run.status_set_at is None
    assert run.status_note == ""


def test_set_status_again_replaces_the_first_word() -> None:
    run = store(message())
    recording.set_status(run.pk, Status.FAILED, "lost")

    recording.set_status(run.pk, Status.SUCCEEDED)

    run.refresh_from_db()
    assert (run.status, run.status_note) == (Status.SUCCEEDED, "")


def test_set_status_of_a_run_that_is_gone() -> None:
    with pytest.raises(HarvestRun.DoesNotExist):
        recording.set_status(0, Status.FAILED)


# --- Conf, collection and trigger -----------------------------------------------------------------


def test_recompute_conf_that_comes_late() -> None:
    run = store(message(seconds=0, dag_run_conf={}))
    assert run.dag_run_conf == {}

    run = store(message(seconds=1, dag_run_conf="{'collection_id': '466'}"))

    assert run.dag_run_conf == {"collection_id": "466"}
    assert run.conf_collection_id == 466


def test_recompute_conf_is_not_forgotten_for_an_event_without() -> None:
    run = store(message(seconds=0), message(seconds=1, dag_run_conf=None))

    assert run.dag_run_conf == {"collection_id": "27551"}
    assert run.conf_collection_id == 27551


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_recompute_conf_is_that_of_the_newest_event_that_has_one(order: tuple[int, ...]) -> None:
    events = [
        message(seconds=0, dag_run_conf={"collection_id": "1"}),
        message(seconds=1, dag_run_conf={"collection_id": "2"}),
        message(seconds=2, dag_run_conf={}),
    ]

    assert store(*(events[index] for index in order)).conf_collection_id == 2


def test_recompute_conf_of_a_tie_is_that_of_the_event_that_decides() -> None:
    run = store(
        message(message_id="9", dag_run_conf={"collection_id": "9"}),
        complete(message_id="1", dag_run_conf={"collection_id": "1"}),
    )

    assert run.status == Status.SUCCEEDED
    assert run.conf_collection_id == 1


def test_recompute_conf_of_a_tie_of_equals_is_that_of_the_larger_message_id() -> None:
    # By code points, whatever the database's collation.
    run = store(
        message(message_id="B", dag_run_conf={"collection_id": "1"}),
        message(message_id="a", dag_run_conf={"collection_id": "2"}),
    )

    assert run.conf_collection_id == 2


def test_recompute_ranks_tied_message_ids_as_python_does() -> None:
    letters = "aAbBzé-_ 1\uffff📚"
    ids = [first + second for first in letters for second in ("", *letters)]
    run = make_run()
    HarvestEvent.objects.bulk_create(
        HarvestEvent(
            message_id=message_id,
            harvest_run=run,
            sns_timestamp=START,
            outcome=Status.RUNNING,
            logical_date=START,
            dag_run_conf={"collection_id": message_id},
            recorded_at=START,
        )
        for message_id in ids
    )

    ranked = []
    while run.events.exists():
        run = recompute(run)
        newest = run.events.get(message_id=run.dag_run_conf["collection_id"])
        ranked.append(newest.message_id)
        newest.delete()

    assert ranked == sorted(ids, reverse=True)


def test_recompute_validation_has_no_collection() -> None:
    conf = {"rikolti_mapper_type": "oai.samvera", "limit": "3"}

    run = store(message(dag_id="validate_by_mapper_type", dag_run_conf=conf))

    assert run.dag_run_conf == conf
    assert run.conf_collection_id is None
    assert run.collection is None


def test_recompute_links_a_known_collection_to_run_and_events() -> None:
    collection = make_collection(27551)

    run = store(message(), message(seconds=1))

    assert run.collection == collection
    assert [event.collection for event in run.events.all()] == [collection, collection]


def test_recompute_links_a_collection_that_comes_to_be_known() -> None:
    run = store(message(), message(seconds=1))
    assert run.collection is None
    assert run.conf_collection_id == 27551

    collection = make_collection(27551)
    run = recompute(run)

    assert run.collection == collection
    assert [event.collection for event in run.events.all()] == [collection, collection]


def test_recompute_links_the_collection_of_a_conf_that_changes() -> None:
    make_collection(1)
    second = make_collection(2)

    run = store(
        message(seconds=0, dag_run_conf={"collection_id": "1"}),
        message(seconds=1, dag_run_conf={"collection_id": "2"}),
    )

    assert run.collection == second
    assert [event.collection for event in run.events.all()] == [second, second]


def test_recompute_survives_the_end_of_its_collection() -> None:
    collection = make_collection(27551)
    run = store(message())
    collection.delete()

    run = recompute(run)

    assert run.collection is None
    assert run.conf_collection_id == 27551


def test_recompute_links_the_trigger_of_a_run() -> None:
    trigger = make_trigger(make_collection(27551))

    assert store(message()).harvest_trigger == trigger


def test_recompute_links_a_trigger_that_is_written_late() -> None:
    run = store(message())
    assert run.harvest_trigger is None

    trigger = make_trigger(make_collection(27551))

    assert recompute(run).harvest_trigger == trigger


@pytest.mark.parametrize(
    "fields",
    [
        {"dag_id": "publish_collection"},
        {"dag_run_id": "other"},
        {"hostname": "https://other.example.org"},
    ],
    ids=["dag", "run", "host"],
)
def test_recompute_links_no_other_trigger(fields: dict[str, object]) -> None:
    make_trigger(make_collection(27551), **fields)

    assert store(message()).harvest_trigger is None


# --- Staleness ------------------------------------------------------------------------------------


def test_mark_stale_run_that_is_silent() -> None:
    run = store(message(at=timezone.now() - 7 * HOUR))
    before = timezone.now()

    recording.mark_stale(run.pk)

    run.refresh_from_db()
    assert run.stale_since is not None
    assert before <= run.stale_since <= timezone.now()
    assert run.reconciled_at == run.stale_since
    assert run.status == Status.RUNNING


def test_mark_stale_again_keeps_the_first_date() -> None:
    run = store(message(at=timezone.now() - 7 * HOUR))
    first = recording.mark_stale(run.pk)

    second = recording.mark_stale(run.pk)

    assert first is not None
    assert second is not None
    assert second.stale_since == first.stale_since is not None
    assert second.reconciled_at is not None
    assert first.reconciled_at is not None
    assert second.reconciled_at > first.reconciled_at


@pytest.mark.parametrize(
    ("dag_id", "hours", "stale"),
    [
        ("harvest_collection", 5.9, False),
        ("harvest_collection", 6.1, True),
        ("validate_by_mapper_type", 0.9, False),
        ("validate_by_mapper_type", 1.1, True),
    ],
)
def test_mark_stale_after_the_silence_of_its_dag(dag_id: str, hours: float, stale: bool) -> None:
    run = store(message(dag_id=dag_id, at=timezone.now() - hours * HOUR))

    recording.mark_stale(run.pk)

    run.refresh_from_db()
    assert (run.stale_since is not None) == stale


@pytest.mark.parametrize("end", [complete, failed, task_error])
def test_mark_stale_never_a_run_that_ended(end: type) -> None:
    run = store(end(at=timezone.now() - 7 * HOUR))

    recording.mark_stale(run.pk)

    run.refresh_from_db()
    assert run.stale_since is None


def test_mark_stale_recomputes_first() -> None:
    run = store(message(at=timezone.now() - 8 * HOUR))
    recording.record([complete(at=timezone.now() - 7 * HOUR)])

    recording.mark_stale(run.pk)

    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED
    assert run.stale_since is None


@pytest.mark.parametrize("news", [message, complete, failed])
def test_stale_run_that_is_heard_of_again_is_stale_no_more(news: type) -> None:
    run = store(message(at=timezone.now() - 7 * HOUR))
    recording.mark_stale(run.pk)

    run = store(news(at=timezone.now()))

    assert run.stale_since is None


def test_stale_run_that_ended_long_ago_after_all_is_stale_no_more() -> None:
    run = store(message(at=timezone.now() - 9 * HOUR))
    recording.mark_stale(run.pk)

    run = store(complete(at=timezone.now() - 8 * HOUR))

    assert run.stale_since is None


def test_stale_run_stays_stale_for_an_event_that_is_old_too() -> None:
    run = store(message(at=timezone.now() - 9 * HOUR))
    recording.mark_stale(run.pk)

    run = store(message(at=timezone.now() - 8 * HOUR))

    assert run.stale_since is not None


def test_stale_run_whose_status_a_person_sets_is_stale_no_more() -> None:
    run = store(message(at=timezone.now() - 7 * HOUR))
    recording.mark_stale(run.pk)

    recording.set_status(run.pk, Status.FAILED)

    run.refresh_from_db()
    assert run.stale_since is None
