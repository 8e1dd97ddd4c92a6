"""The registry's pages, as staff see them."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from harvest import recording
from harvest.certificates import Certificates
from harvest.models import Collection, HarvestEvent, HarvestRun, HarvestTrigger, RejectedMessage
from harvest.recording import origin
from tests import factories
from tests.signatures import signed
from tests.sns_server import SnsServer

pytestmark = pytest.mark.django_db

MODELS = (Collection, HarvestEvent, HarvestRun, HarvestTrigger, RejectedMessage)
HOSTILE = "<script>alert('x')</script>\"&\N{RIGHT-TO-LEFT OVERRIDE}"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def list_url(model: type, query: str = "") -> str:
    return reverse(f"admin:harvest_{model.__name__.lower()}_changelist") + query


def page_url(instance: HarvestRun | HarvestEvent | RejectedMessage | Collection) -> str:
    return reverse(f"admin:harvest_{type(instance).__name__.lower()}_change", args=[instance.pk])


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def recorded(*messages: object) -> HarvestRun:
    result = recording.record(list(messages))  # type: ignore[arg-type]
    assert result.run_id is not None
    run = recording.recompute(result.run_id)
    assert run is not None
    return run


@pytest.mark.parametrize("model", MODELS)
def test_pages_need_a_login(client: Client, model: type) -> None:
    response = client.get(list_url(model))

    assert response.status_code == 302
    assert "/login/" in response["Location"]


@pytest.mark.parametrize("model", [HarvestEvent, HarvestRun, HarvestTrigger, RejectedMessage])
def test_what_the_pipeline_writes_is_added_by_nobody(staff: Client, model: type) -> None:
    assert staff.get(reverse(f"admin:harvest_{model.__name__.lower()}_add")).status_code == 403


def test_failed_run_says_why(staff: Client) -> None:
    factories.make_collection(27551, name="Postcards")
    run = recorded(factories.task_error(), factories.failed(seconds=5))

    row = text_of(staff, list_url(HarvestRun))
    page = text_of(staff, page_url(run))

    for text in (row, page):
        assert "KeyError: &#x27;isShownAt&#x27;" in text
        assert "Postcards (27551)" in text
    assert '<span class="status status-failed"><span aria-hidden="true">✖</span> failed</span>' in row


def test_run_of_unknown_collection_says_so(staff: Client) -> None:
    recorded(factories.message())

    assert "27551, not in the registry" in text_of(staff, list_url(HarvestRun))


def dags_of(list_of_runs: str) -> list[str]:
    return re.findall(r'"field-what.*?<div class="aside"><bdi>(\w+)', list_of_runs, re.DOTALL)


def test_lost_run_is_seen_with_its_reason_and_filtered(staff: Client) -> None:
    lost = factories.make_run(
        stale_since=timezone.now(),
        lost_since=timezone.now(),
        lost_reason="DAGRun not found",
        dag_id="the_lost",
    )
    factories.make_run(dag_id="another")

    text = text_of(staff, list_url(HarvestRun, "?standing=lost"))

    assert "running, lost" in text
    assert "DAGRun not found" in text
    assert dags_of(text) == ["the_lost"]
    page = text_of(staff, reverse("admin:harvest_harvestrun_change", args=[lost.pk]))
    assert "DAGRun not found" in page


def test_stale_run_is_seen_and_filtered(staff: Client) -> None:
    factories.make_run(stale_since=timezone.now(), dag_id="the_stale")
    factories.make_run(dag_id="the_other")

    text = text_of(staff, list_url(HarvestRun, "?standing=stale"))

    assert "running, stale" in text
    assert dags_of(text) == ["the_stale"]


def test_run_and_log_link_to_airflow(staff: Client) -> None:
    run = recorded(factories.message(map_index=2))

    assert (
        f"{factories.HOST}/dags/harvest_collection/grid"
        "?dag_run_id=manual__2026-11-24T05%3A21%3A34%2B00%3A00&amp;base_date="
    ) in text_of(staff, page_url(run))
    assert "task_id=fetching.fetch_collection&amp;map_index=2&amp;tab=logs" in text_of(
        staff, page_url(run.events.get())
    )


def test_host_that_is_no_web_address_is_not_linked(staff: Client) -> None:
    run = recorded(factories.message(host="javascript:alert(1)"))

    for url in (page_url(run), list_url(HarvestRun), page_url(run.events.get())):
        assert 'href="javascript' not in text_of(staff, url)


def test_hostile_strings_are_shown_as_text(staff: Client) -> None:
    factories.make_collection(27551, name=HOSTILE, campus_names=[HOSTILE])
    run = recorded(
        factories.message(
            dag_id=HOSTILE,
            dag_run_id=HOSTILE,
            task_id=HOSTILE,
            dag_run_conf={"collection_id": 27551, HOSTILE: HOSTILE},
            rikolti_message={"error": True, "exception": HOSTILE, "traceback": HOSTILE},
        )
    )
    recording.record([factories.sqs_message(HOSTILE)])
    pages = [list_url(model) for model in MODELS]
    pages += [page_url(run), page_url(run.events.get()), page_url(RejectedMessage.objects.get())]

    for url in pages:
        assert "<script>alert(" not in text_of(staff, url)


def test_status_set_by_hand_stands_and_is_logged(staff: Client) -> None:
    run = recorded(factories.message())

    staff.post(
        page_url(run),
        {
            "initial-status": "running",
            "status": "failed",
            "status_note": "the machine was shut down",
        },
    )

    run.refresh_from_db()
    assert (run.status, run.status_source) == ("failed", "person")
    assert run.status_note == "the machine was shut down"
    assert recording.recompute(run.pk).status == "failed"  # type: ignore[union-attr]
    entry = LogEntry.objects.get(object_id=run.pk)
    assert entry.user.get_username() == "staff"
    assert "Status" in entry.get_change_message()


def test_decision_without_a_reason_is_said_at_the_top_and_at_its_field(staff: Client) -> None:
    run = recorded(factories.message())

    response = staff.post(page_url(run), {"initial-status": "running", "status": "failed"})

    text = response.content.decode()
    top, _answer, form = text.partition('<h2 id="answer"')
    assert "Nothing is set yet:" in top
    assert '<a href="#id_status_note">Reason</a>: This field is required.' in top
    assert "This field is required." in form
    run.refresh_from_db()
    assert run.status == "running"


def test_saving_without_a_change_decides_nothing(staff: Client) -> None:
    run = recorded(factories.message())

    staff.post(page_url(run), {"initial-status": "running", "status": "running"})

    run.refresh_from_db()
    assert run.status_source == "events"


def test_note_on_an_old_page_leaves_the_status_that_the_run_has_by_now(staff: Client) -> None:
    run = recorded(factories.message())
    recorded(factories.complete(seconds=5))  # while the page is open

    staff.post(
        page_url(run),
        {"initial-status": "running", "status": "running", "status_note": "I have seen it"},
    )

    run.refresh_from_db()
    assert (run.status, run.status_note) == ("succeeded", "I have seen it")


def test_hand_set_status_yields_to_a_newer_event(staff: Client) -> None:
    run = recorded(factories.message())
    staff.post(
        page_url(run), {"initial-status": "running", "status": "failed", "status_note": "it is away"}
    )
    run.refresh_from_db()
    assert run.status_source == "person"

    later = (timezone.now() - factories.START + timedelta(minutes=1)).total_seconds()
    run = recorded(factories.message(seconds=later))

    assert (run.status, run.status_source, run.status_note) == ("running", "events", "")


def test_viewer_changes_nothing(client: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(viewer)
    run = recorded(factories.message())
    recording.record([factories.sqs_message("not JSON")])
    rejected = RejectedMessage.objects.get()

    assert client.post(page_url(run), {"status": "failed"}).status_code == 403
    client.post(list_url(RejectedMessage), {"action": "replay", "_selected_action": [rejected.pk]})
    client.post(list_url(HarvestRun), {"action": "recompute", "_selected_action": [run.pk]})

    run.refresh_from_db()
    rejected.refresh_from_db()
    assert (run.status, run.reconciled_at) == ("running", None)
    assert rejected.times_seen == 1


def replay_all(staff: Client) -> str:
    """Replay all rejected messages from their list. Return the page that tells of it."""
    ids = list(RejectedMessage.objects.values_list("pk", flat=True))
    response = staff.post(
        list_url(RejectedMessage), {"action": "replay", "_selected_action": ids}, follow=True
    )
    return response.content.decode()


def test_replay_says_what_became_of_it(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    good = factories.message()
    with monkeypatch.context() as patch:  # a fault of ours, which is mended meanwhile
        patch.delattr("harvest.recording.events.parse_event")
        recording.record([good])
    recording.record([factories.sqs_message("not JSON")])

    text = replay_all(staff)

    assert "1 message is recorded." in text
    assert "1 message is still not understood" in text
    assert HarvestEvent.objects.get().harvest_run.status == "running"
    assert RejectedMessage.objects.get(replayed_at=None).reason == "not_json"


def test_replay_until_the_database_is_busy_says_how_far_it_came(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in ("not JSON", "nor this"):
        recording.record([factories.sqs_message(body)])
    outcomes: list[Any] = [None, OperationalError("locked")]

    def replay(message: RejectedMessage) -> None:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome

    monkeypatch.setattr(recording, "replay", replay)

    text = replay_all(staff)

    assert "The database is busy, try again: locked" in text
    assert "1 message is still not understood" in text


def test_replay_that_can_not_be_verified_now_says_so_and_goes_on(
    staff: Client, monkeypatch: pytest.MonkeyPatch, settings: Settings, sns_server: SnsServer
) -> None:
    monkeypatch.setattr(origin, "certificates", Certificates())
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = []
    recording.record([signed()])
    recording.record([factories.sqs_message("not JSON")])
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = [factories.TOPIC_ARN]
    sns_server.away = True

    response = staff.post(
        list_url(RejectedMessage),
        {"action": "replay", "_selected_action": RejectedMessage.objects.values_list("pk", flat=True)},
        follow=True,
    )

    text = response.content.decode()
    assert "1 message can&#x27;t be verified now" in text
    assert "1 message is still not understood" in text
    assert sorted(RejectedMessage.objects.values_list("reason", "times_seen")) == [
        ("not_json", 2),
        ("unknown_topic", 1),
    ]


def test_subscription_is_shown_with_what_to_do_and_no_link(staff: Client) -> None:
    body = factories.sns_body(
        "You have chosen to subscribe …",
        Type="SubscriptionConfirmation",
        SubscribeURL="https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription",
        Token="2336; rm 'x'",
    )
    recording.record([factories.sqs_message(body)])

    text = text_of(staff, page_url(RejectedMessage.objects.get()))

    assert "confirm it with the command below" in text
    assert unescape(text).count("aws sns confirm-subscription --topic-arn " + factories.TOPIC_ARN) == 1
    assert """--token '2336; rm '"'"'x'"'"''""" in unescape(text)
    assert 'href="https://sns' not in text


def test_subscription_without_its_token_has_no_command(staff: Client) -> None:
    body = factories.sns_body("…", Type="SubscriptionConfirmation")
    recording.record([factories.sqs_message(body)])

    assert "aws sns" not in text_of(staff, page_url(RejectedMessage.objects.get()))


def test_message_that_is_not_believed_is_shown_with_what_to_do(
    staff: Client, settings: Settings
) -> None:
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = []
    recording.record([factories.message()])

    text = text_of(staff, page_url(RejectedMessage.objects.get()))

    assert "add it to RIKOLTI_EVENTS_TOPIC_ARNS of web and worker" in text


def test_action_recomputes(staff: Client) -> None:
    run = recorded(factories.message())
    HarvestRun.objects.update(status="failed")

    staff.post(list_url(HarvestRun), {"action": "recompute", "_selected_action": [run.pk]})

    run.refresh_from_db()
    assert run.status == "running"


@pytest.mark.parametrize("model", MODELS)
def test_queries_of_a_list_do_not_grow_with_it(staff: Client, model: type) -> None:
    def populate(number: int) -> None:
        collection = factories.make_collection(number)
        run_id = f"manual__{number}"
        factories.make_trigger(collection, dag_run_id=run_id)
        conf = {"collection_id": number}
        recorded(factories.task_error(dag_run_id=run_id, dag_run_conf=conf))
        recording.record([factories.sqs_message(f"not JSON {number}")])

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as context:
            text_of(staff, list_url(model))
        return len(context)

    for number in range(1, 3):
        populate(number)
    few = queries()
    for number in range(3, 30):
        populate(number)

    assert queries() == few
