"""A run finds its trigger, whatever comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from harvest import recording
from harvest.models import Collection, HarvestRun, HarvestTrigger
from harvest.reconcile import due_runs, look_at
from tests.factories import HOST, make_collection, make_trigger, message

OTHER = "https://other.example.org"
LATER = "2026-11-24T06:00:00+00:00"


def arrive(**keys: Any) -> HarvestRun:
    run_id = recording.record([message(**keys)]).run_id
    assert run_id is not None
    run = recording.recompute(run_id)
    assert run is not None
    return run


def sweep() -> None:
    for run_id in due_runs(timezone.now()):
        look_at(run_id)


@pytest.mark.django_db
def test_run_has_the_trigger_of_its_name_though_its_date_is_another() -> None:
    trigger = make_trigger(make_collection(27551), hostname=HOST)

    assert arrive(logical_date=LATER).harvest_trigger == trigger


@pytest.mark.django_db
@pytest.mark.parametrize("hosts", [("", HOST), (HOST, ""), ("", "")], ids=str)
def test_run_and_trigger_may_not_know_the_host(hosts: tuple[str, str]) -> None:
    trigger = make_trigger(make_collection(27551), hostname=hosts[0])

    assert arrive(host=hosts[1]).harvest_trigger == trigger


@pytest.mark.django_db
def test_run_prefers_the_trigger_of_its_host() -> None:
    collection = make_collection(27551)
    make_trigger(collection, hostname="")
    make_trigger(collection, hostname=OTHER)
    own = make_trigger(collection, hostname=HOST)

    assert arrive().harvest_trigger == own


@pytest.mark.django_db
def test_run_parts_with_the_trigger_of_a_host_that_was_not_its_own() -> None:
    collection = make_collection(27551)
    wrong = make_trigger(collection, hostname=OTHER)
    assert arrive(host="").harvest_trigger == wrong

    assert arrive().harvest_trigger is None


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["sent", "unknown", "absent"])
def test_event_is_an_answer_to_its_trigger(state: str) -> None:
    trigger = make_trigger(
        make_collection(27551), hostname=HOST, state=state, stderr="no answer in time"
    )

    arrive()

    trigger.refresh_from_db()
    assert (trigger.state, trigger.stderr) == (HarvestTrigger.State.ACCEPTED, "")


@pytest.mark.django_db
@pytest.mark.parametrize("host", [HOST, ""])
def test_sweep_links_a_trigger_that_is_written_late(host: str) -> None:
    run = arrive(host=host, at=timezone.now(), logical_date=LATER)
    trigger = make_trigger(make_collection(27551), hostname=HOST)

    sweep()

    run.refresh_from_db()
    assert run.harvest_trigger == trigger
    assert due_runs(timezone.now()) == []


@pytest.mark.django_db
def test_sweep_leaves_runs_of_other_hosts() -> None:
    arrive(at=timezone.now())
    make_trigger(make_collection(1), hostname=OTHER)

    assert due_runs(timezone.now()) == []


class TestAnyOrder(TestCase):
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.permutations(["trigger", "decoy", "event", "event", "nameless event", "sweep"]))
    def test_link_in_any_order(self, order: list[str]) -> None:
        HarvestRun.objects.all().delete()
        Collection.objects.all().delete()
        collection = make_collection(27551)
        now = timezone.now()
        steps: dict[str, Callable[[], object]] = {
            "trigger": lambda: make_trigger(collection, hostname=HOST),
            "decoy": lambda: make_trigger(collection, hostname=OTHER),
            "event": lambda: arrive(at=now),
            "nameless event": lambda: arrive(at=now, host=""),
            "sweep": sweep,
        }

        for step in order:
            steps[step]()
        sweep()

        trigger = HarvestRun.objects.get().harvest_trigger
        assert trigger is not None
        assert trigger.hostname == HOST
