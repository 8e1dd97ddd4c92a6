"""The version of a collection in production, by the events of its publish and unpublish runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from harvest import published, recording
from harvest.airflow import PUBLISH, UNPUBLISH
from harvest.models import Collection, HarvestRun
from harvest.recording.versions import newest_run, publications, version_before
from harvest.sns import SqsMessage
from tests import factories
from tests.db.loaded import loaded
from tests.db.test_concurrency import at_once
from tests.factories import START, complete, failed, make_collection, message

Make = Callable[..., SqsMessage]


def arrive(*messages: SqsMessage) -> HarvestRun:
    run_id = recording.record(messages).run_id
    assert run_id is not None
    run = recording.recompute(run_id)
    assert run is not None
    return run


def publishing(
    version: str, hours: float, make: Make = message, *, collection_id: int = 1, **keys: Any
) -> SqsMessage:
    """An event of a run that publishes a version, or unpublishes ("")."""
    date = START + timedelta(hours=hours)
    return make(
        **{
            "dag_id": PUBLISH if version else UNPUBLISH,
            "dag_run_id": f"manual__{hours}",
            "logical_date": date.isoformat(),
            "dag_run_conf": {"collection_id": str(collection_id), "version": version},
            "at": date,
            **keys,
        }
    )


def version_of(collection_id: int) -> str:
    return Collection.objects.get(pk=collection_id).production_target_version


@pytest.mark.django_db
def test_version_follows_publish_and_unpublish() -> None:
    make_collection(1)
    versions = []
    for version, hours in (("v1", 1), ("v2", 2), ("", 3), ("v3", 4)):
        arrive(publishing(version, hours))
        versions.append(version_of(1))

    assert versions == ["v1", "v2", "", "v3"]


@pytest.mark.django_db
def test_version_is_the_newest_by_date_not_by_arrival() -> None:
    make_collection(1)
    arrive(publishing("v2", 2))
    arrive(publishing("v1", 1, seconds=10**6))

    assert version_of(1) == "v2"


@pytest.mark.django_db
def test_version_of_a_run_that_failed_is_taken_back() -> None:
    make_collection(1)
    arrive(publishing("v1", 1, complete))
    arrive(publishing("v2", 2))
    assert version_of(1) == "v2"

    arrive(publishing("v2", 2, failed, seconds=5))

    assert version_of(1) == "v1"


@pytest.mark.django_db
def test_version_that_the_registry_had_is_back_when_all_runs_failed() -> None:
    make_collection(1, production_target_version="v0")
    arrive(publishing("v1", 1))
    assert version_of(1) == "v1"

    arrive(publishing("v1", 1, failed, seconds=5))

    assert version_of(1) == "v0"


@pytest.mark.django_db
def test_version_heeds_a_persons_word() -> None:
    make_collection(1)
    run = arrive(publishing("v1", 1, failed))
    assert version_of(1) == ""

    recording.set_status(run.pk, HarvestRun.Status.SUCCEEDED, "it was published")

    assert version_of(1) == "v1"


@pytest.mark.django_db
def test_version_of_a_collection_that_is_known_later() -> None:
    run = arrive(publishing("v1", 1))
    make_collection(1)

    recording.recompute(run.pk)

    assert version_of(1) == "v1"


@pytest.mark.django_db
def test_version_moves_with_the_conf_of_its_run() -> None:
    make_collection(1)
    make_collection(2, production_target_version="v0")
    arrive(publishing("v1", 1, collection_id=2))

    arrive(publishing("v1", 1, seconds=1, collection_id=1))

    assert (version_of(1), version_of(2)) == ("v1", "v0")


@pytest.mark.django_db
@pytest.mark.parametrize("conf", [{"collection_id": "1"}, {"collection_id": "1", "version": 3}])
def test_version_stays_where_a_run_says_none(conf: dict[str, Any]) -> None:
    make_collection(1, production_target_version="v0")

    arrive(publishing("v1", 1, dag_run_conf=conf))

    assert version_of(1) == "v0"


@pytest.mark.django_db
def test_version_before_is_that_of_older_runs() -> None:
    make_collection(1, production_target_version="v0")
    newer = arrive(publishing("v3", 3))
    arrive(publishing("v4", 4, failed))
    newest = arrive(publishing("", 5))
    oldest = arrive(publishing("v1", 1))
    tied = arrive(publishing("v2", 3, dag_run_id="manual__0"))

    runs = [HarvestRun.objects.get(pk=run.pk) for run in (oldest, tied, newer, newest)]
    assert [version_before(run) for run in runs] == ["v0", "v1", "v2", "v3"]


@pytest.mark.django_db
def test_version_asks_as_much_of_many_runs_as_of_few() -> None:
    collection = make_collection(1)

    def queries(hours: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            arrive(publishing("v1", hours))
        return len(captured)

    few = queries(1)
    for index in range(200):
        factories.make_run(
            collection=collection,
            dag_id=PUBLISH,
            target_version="v0",
            logical_date=START - timedelta(hours=index),
        )

    assert queries(2) == few


@pytest.mark.django_db
def test_version_reads_no_more_of_many_tied_runs_than_of_few() -> None:
    collection = make_collection(1)
    for index in range(50):
        factories.make_run(
            collection=collection,
            dag_id=PUBLISH,
            dag_run_id=f"tied-{index}",
            target_version="v0",
            logical_date=START + timedelta(hours=9),
        )
    with loaded(HarvestRun) as read:
        arrive(publishing("v1", 1))

    assert [run.dag_run_id for run in read if run.dag_run_id.startswith("tied")] == ["tied-9"]


@pytest.mark.django_db
def test_newest_run_of_those_that_are_tied_is_that_of_the_pure_rule() -> None:
    collection = make_collection(1)
    ids, hosts = ("a", "B", "é", "\uffff", "📚"), ("https://a.org", "https://a-b.org", "https://ab.org")
    for dag_run_id, dag_id, host in product(ids, (PUBLISH, UNPUBLISH), hosts):
        factories.make_run(
            collection=collection, dag_id=dag_id, dag_run_id=dag_run_id, host=host, target_version="v1",
            logical_date=START,
        )  # fmt: skip
    runs = publications(collection.pk)
    expected = [run.pk for run in sorted(runs, key=published.order, reverse=True)]

    ranked = []
    for _ in expected:
        [newest] = newest_run(runs)
        ranked.append(newest.pk)
        newest.delete()

    assert ranked == expected


@pytest.mark.django_db
def test_version_costs_nothing_where_nothing_changed() -> None:
    make_collection(1)
    run = arrive(publishing("v1", 1))

    with CaptureQueriesContext(connection) as captured:
        recording.recompute(run.pk)

    assert not [query["sql"] for query in captured if "registered_version" in query["sql"]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_version_of_runs_that_are_recorded_at_once(attempt: int) -> None:
    make_collection(1)
    make_collection(2)
    messages = [
        publishing(f"v{hours}", hours, failed if hours == 6 else message, collection_id=1 + hours % 2)
        for hours in range(1, 7)
    ]

    at_once(*(partial(arrive, one) for one in messages))

    assert (version_of(1), version_of(2)) == ("v4", "v5")


class TestAnyOrder(TestCase):
    """The version depends on the events, not on how often and in which order they arrive."""

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["", "v1", "v2"]), st.integers(0, 2), st.sampled_from([message, failed])
            ),
            min_size=1,
            max_size=5,
        ),
        st.data(),
    )
    def test_version_in_any_order(
        self, events: list[tuple[str, int, Make]], data: st.DataObject
    ) -> None:
        messages = [
            publishing(version, hours, make, seconds=index, collection_id=1)
            for index, (version, hours, make) in enumerate(events)
        ]
        again = data.draw(st.permutations([*messages, *messages[:2]]))
        versions = []
        for arrivals in (messages, again):
            HarvestRun.objects.all().delete()
            Collection.objects.all().delete()
            make_collection(1, production_target_version="v0")
            for one in arrivals:
                arrive(one)
            versions.append(version_of(1))

        assert versions[0] == versions[1]
