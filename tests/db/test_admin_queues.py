"""The pages of queues and of redrives."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from harvest import redrive
from harvest.models import QueueReading, Redrive
from harvest.tasks import redrive_dead_letters

pytestmark = pytest.mark.django_db

QUEUES = reverse("admin:harvest_queues")
CONFIRM = reverse("admin:harvest_redrive", args=["events"])


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is asked for, with an SQS and a broker that take all of it."""
    asked: list[Any] = []

    def begin(kind: Redrive.Kind, user: User) -> Redrive:
        asked.append((kind, user.username))
        return make_redrive(kind=kind, user=user)

    monkeypatch.setattr(redrive, "begin", begin)
    monkeypatch.setattr(
        redrive_dead_letters, "apply_async", lambda args, retry: asked.append((*args, retry))
    )
    return asked


def make_reading(queue: str = "rikolti-events-dlq", *, ago: int = 1, **fields: Any) -> QueueReading:
    source = queue.removesuffix("-dlq") if queue.endswith("-dlq") else ""
    defaults = {"source": source, "visible": 0, "in_flight": 0}
    read_at = timezone.now() - timedelta(minutes=ago)
    return QueueReading.objects.create(queue=queue, read_at=read_at, **{**defaults, **fields})


def make_redrive(**fields: Any) -> Redrive:
    now = timezone.now()
    defaults = {"kind": "events", "queue": "rikolti-events-dlq", "total": 500}
    return Redrive.objects.create(started_at=now, touched_at=now, **{**defaults, **fields})


def log_in_with(client: Client, *permissions: str) -> None:
    user = User.objects.create_user("someone", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)


def text_of(client: Client, url: str = QUEUES) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(unescape(response.content.decode()).split())


def test_page_shows_each_queue_as_it_was_read_last(staff: Client) -> None:
    make_reading(ago=10, visible=7)
    make_reading(visible=500, in_flight=3)
    make_reading("rikolti-events", visible=20)

    page = text_of(staff)

    assert '<span aria-hidden="true">⚠</span> 500</span>' in page
    assert "<dd>20</dd>" in page
    assert '-desc">rikolti-events-dlq: 500 wait, 500 at most</desc>' in page
    assert "Not read in the last day: avram-tasks." in page
    assert "Not read in the last day: rikolti-events." not in page
    assert f'href="{CONFIRM}"' in page


def test_fresh_start_is_no_alarm(staff: Client) -> None:
    page = text_of(staff)

    assert "The queues have not been read yet." in page
    assert "does beat run?" not in page

    make_reading("rikolti-events", ago=3 * 24 * 60)
    assert "Not read in the last day: rikolti-events. Is it there, and does beat run?" in text_of(staff)


def test_page_has_no_inline_style_nor_script_of_ours(staff: Client) -> None:
    make_reading(visible=500)
    make_redrive()

    content = re.search(r'<div class="sheets">.*', text_of(staff))

    assert content is not None
    assert "style=" not in content[0].partition("</main>")[0].partition("<script")[0]


def test_old_reading_says_nothing_of_now(staff: Client) -> None:
    make_reading("rikolti-events", ago=60)

    assert '<span aria-hidden="true">⚠</span> ' in text_of(staff)


def test_progress_of_a_redrive_is_shown(staff: Client) -> None:
    make_reading(visible=160)
    make_redrive(taken=340, rejected=17, way="singly")

    page = text_of(staff)

    for said in ("340 of 500", "one by one", "17", "goes on", "load this page again"):
        assert said in page
    assert f'href="{CONFIRM}"' not in page  # one at a time


def test_redrive_that_failed_says_why(staff: Client) -> None:
    make_redrive(ended_at=timezone.now(), problem="<b>rikolti-events-dlq</b> is not there")

    response = staff.get(QUEUES)

    assert "&lt;b&gt;rikolti-events-dlq&lt;/b&gt; is not there" in response.content.decode()


def test_redrive_is_confirmed_and_done_by_a_task(staff: Client, begun: list[Any]) -> None:
    make_reading(visible=500)

    assert "rikolti-events-dlq held 500 messages" in text_of(staff, CONFIRM)
    assert begun == []

    response = staff.post(CONFIRM, follow=True)

    one = Redrive.objects.get()
    assert begun == [("events", "staff"), (one.pk, 0, False)]
    assert "500 messages of rikolti-events-dlq are being redriven." in response.content.decode()


def test_redrive_needs_its_permission(client: Client, begun: list[Any]) -> None:
    make_reading(visible=500)
    log_in_with(client, "view_queuereading")

    assert f'href="{CONFIRM}"' not in text_of(client)
    assert client.get(CONFIRM).status_code == 403
    assert client.post(CONFIRM).status_code == 403
    assert begun == []


def test_operator_may_redrive(client: Client, begun: list[Any]) -> None:
    make_reading(visible=500)
    log_in_with(client, "view_queuereading", "redrive_queue")

    assert f'href="{CONFIRM}"' in text_of(client)
    assert client.post(CONFIRM).status_code == 302
    assert len(begun) == 2


def test_pages_need_a_login_and_a_permission(client: Client) -> None:
    assert client.get(QUEUES).status_code == 302
    log_in_with(client, "view_harvestrun")
    assert client.get(QUEUES).status_code == 403


def test_redrive_needs_a_token(begun: list[Any]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("staff"))

    assert client.post(CONFIRM).status_code == 403
    assert begun == []


def test_unknown_dead_letters(staff: Client) -> None:
    assert staff.get(reverse("admin:harvest_redrive", args=["others"])).status_code == 404


def test_sqs_that_is_away_is_said(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1")

    monkeypatch.setattr("harvest.queues.sqs_client", away)

    response = staff.post(CONFIRM, follow=True)

    assert "Could not connect to the endpoint" in response.content.decode()


def test_task_that_cannot_be_sent_is_sent_later(
    staff: Client, begun: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise ConnectionRefusedError("no broker")

    monkeypatch.setattr(redrive_dead_letters, "apply_async", refuse)

    response = staff.post(CONFIRM, follow=True)

    assert "the redrive begins in a quarter of an hour: no broker" in response.content.decode()


def test_queries_of_the_page_do_not_grow(staff: Client, django_assert_max_num_queries: Any) -> None:
    for index in range(50):
        make_reading(ago=index)
        make_redrive(ended_at=timezone.now(), user=User.objects.get())

    with django_assert_max_num_queries(6):
        staff.get(QUEUES)
