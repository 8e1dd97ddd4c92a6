"""The page of a rejected message: where it goes wrong, and what became of it when it was replayed."""

from __future__ import annotations

import json
import re
from html import unescape
from unittest.mock import Mock

import pytest
from botocore.exceptions import EndpointConnectionError
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from harvest import limits, recording, tasks
from harvest.admin.rejected import ADVICE
from harvest.models import HarvestRun, RejectedMessage
from harvest.sns import SqsMessage
from tests.factories import message, sqs_message

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def url_of(rejected: RejectedMessage, page: str = "change") -> str:
    return reverse(f"admin:harvest_rejectedmessage_{page}", args=[rejected.pk])


def rejected(*messages: SqsMessage) -> RejectedMessage:
    recording.record(list(messages))
    return RejectedMessage.objects.latest("pk")


def rejected_by_a_fault(monkeypatch: pytest.MonkeyPatch, *messages: SqsMessage) -> RejectedMessage:
    """A message that is refused by a fault of ours, which is mended meanwhile."""
    with monkeypatch.context() as patch:
        patch.delattr("harvest.recording.events.parse_event")
        return rejected(*messages)


def test_page_says_where_it_stops_to_be_json(staff: Client) -> None:
    text = staff.get(url_of(rejected(sqs_message('{"a": 1,\n "b": <oops>}')))).content.decode()

    assert "line 2, column 7" in text
    assert '<mark class="wrong-here">&lt;</mark>oops&gt;}' in text


def test_page_says_which_key_is_wrong_and_shows_the_message_as_json(staff: Client) -> None:
    text = unescape(staff.get(url_of(rejected(message(logical_date="yesterday")))).content.decode())

    assert "Message → logical_date" in text
    assert (
        '<span class="json-key">logical_date</span>: <span class="json-text">"yesterday"</span>' in text
    )


@pytest.mark.parametrize("reason", RejectedMessage.Reason)
def test_each_reason_has_advice_and_only_what_can_be_confirmed_a_command(
    staff: Client, reason: RejectedMessage.Reason
) -> None:
    waiting = rejected(sqs_message(json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": "a"})))
    RejectedMessage.objects.update(reason=reason)
    page = staff.get(url_of(waiting))

    assert len(str(ADVICE[reason])) > 50
    assert escape(str(ADVICE[reason])) in page.content.decode()
    # It has no token.
    assert "command" not in flatten_fieldsets(page.context["adminform"].fieldsets)

    body = {"Type": "SubscriptionConfirmation", "TopicArn": "a", "Token": "b"}
    RejectedMessage.objects.update(body=json.dumps(body))
    confirmed = staff.get(url_of(waiting)).content.decode()
    assert ("aws sns confirm-subscription" in confirmed) == (reason == "subscription")


def test_replay_of_one_shows_the_run_that_it_went_into(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = rejected_by_a_fault(monkeypatch, message())

    text = staff.post(url_of(waiting, "replay"), follow=True).content.decode()

    run = HarvestRun.objects.get()
    link = f'<a href="{reverse("admin:harvest_harvestrun_change", args=[run.pk])}">'
    assert "1 message is recorded." in text
    assert text.count(link) == 2  # what was just told, and what the page says ever after


def test_replay_that_is_rejected_again_shows_the_new_reason(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = rejected_by_a_fault(monkeypatch, message(logical_date="yesterday"))

    text = staff.post(url_of(waiting, "replay"), follow=True).content.decode()

    assert "1 message is still not understood" in text
    assert f'<a href="{url_of(waiting)}">a date that is none</a>' in text
    assert "it was seen again" in text


def test_reason_of_many_is_told_once_with_their_number_and_a_link_to_each(staff: Client) -> None:
    rejected(*(message(version="9") for _ in range(3)), sqs_message("not JSON"))

    text = " ".join(replay_all(staff).split())

    [told] = re.findall(r"4 messages are still not understood: (.*?) </", text)
    assert told.count("unknown version") == 1
    assert "unknown version, 3 times (<a" in told
    for one in RejectedMessage.objects.all():
        assert told.count(f'href="{url_of(one)}"') == 1


def test_replaying_is_for_those_who_may_and_never_a_link(client: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_rejectedmessage"))
    client.force_login(viewer)
    waiting = rejected(sqs_message("not JSON"))

    assert client.get(url_of(waiting, "replay")).status_code == 405
    assert client.post(url_of(waiting, "replay")).status_code == 403
    assert "Replay: record it now" not in client.get(url_of(waiting)).content.decode()


def replay_all(staff: Client) -> str:
    ids = list(RejectedMessage.objects.values_list("pk", flat=True))
    response = staff.post(
        reverse("admin:harvest_rejectedmessage_changelist"),
        {"action": "replay", "_selected_action": ids, "select_across": "1"},
        follow=True,
    )
    return response.content.decode()


def test_many_are_replayed_by_the_workers_in_slices(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Mock()
    monkeypatch.setattr(tasks.replay_rejected, "apply_async", sent)
    monkeypatch.setattr(limits, "MAX_REPLAYED", 2)
    rejected(*(sqs_message(f"not JSON {number}") for number in range(5)))

    text = replay_all(staff)

    slices = [call.args[0][0] for call in sent.call_args_list]
    assert [len(ids) for ids in slices] == [2, 2, 1]
    everything = sorted(RejectedMessage.objects.values_list("pk", flat=True))
    assert [pk for ids in slices for pk in ids] == everything
    assert "5 messages are being replayed by the workers" in text


def test_no_more_are_sent_at_once_than_a_bound(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.replay_rejected, "apply_async", Mock())
    monkeypatch.setattr(limits, "MAX_REPLAYED", 1)
    monkeypatch.setattr(limits, "MAX_REPLAYED_SLICES", 2)
    rejected(*(sqs_message(f"not JSON {number}") for number in range(3)))

    text = replay_all(staff)

    assert "2 messages are being replayed" in text
    assert "There are more" in text


def test_workers_that_can_not_be_asked_are_told_of(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = EndpointConnectionError(endpoint_url="https://sqs.example.org")
    monkeypatch.setattr(tasks.replay_rejected, "apply_async", Mock(side_effect=[None, error]))
    monkeypatch.setattr(limits, "MAX_REPLAYED", 1)
    rejected(*(sqs_message(f"not JSON {number}") for number in range(3)))

    text = unescape(replay_all(staff))

    assert "1 message is being replayed" in text
    assert "The queue of tasks can't be reached" in text


def test_task_replays_a_slice_and_what_is_recorded_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected_by_a_fault(monkeypatch, message())
    rejected(sqs_message("not JSON"))
    ids = list(RejectedMessage.objects.order_by("pk").values_list("pk", flat=True))

    assert tasks.replay_rejected(ids) == "1 recorded, 1 rejected again"
    assert tasks.replay_rejected(ids[:1]) == "nothing to do"
    assert HarvestRun.objects.count() == 1
