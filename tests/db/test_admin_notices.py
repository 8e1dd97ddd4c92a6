"""Subscriptions and notices in the admin: whose they are, and what can be set."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook

from harvest import limits, webhooks
from harvest.models import Collection, Notice, RunChange, Subscription
from tests import factories

pytestmark = pytest.mark.django_db

LIST = "admin:harvest_subscription_changelist"
ADD = "admin:harvest_subscription_add"
PAGE = "admin:harvest_subscription_change"
NOTICES = "admin:harvest_notice_changelist"
BUTTON = "harvest_subscription_save_and_test"
FORM = {
    "name": "failures",
    "active": "on",
    "kinds": ["failed", "recovered"],
    "collections": [],
    "campuses": [],
    "dag_ids": [],
    "channel": "mail",
    "address": "ada@example.org",
}


def log_in(client: Client, name: str, *codenames: str) -> User:
    """Log in somebody of the staff who may do this much."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return user


@pytest.fixture
def ada(client: Client) -> User:
    verbs = ("view", "add", "change", "delete")
    names = [f"{verb}_subscription" for verb in verbs]
    return log_in(client, "ada", *names, "view_notice", "change_notice", "view_collection")


@pytest.fixture
def webhook(ada: User) -> Subscription:
    return factories.make_subscription(ada, channel="webhook", address="https://example.org/secret-path")


def act(client: Client, view: str, action: str, *rows: Any) -> Any:
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(reverse(view), data, follow=True)


def errors_of(client: Client, **changed: Any) -> dict[str, list[str]]:
    response = client.post(reverse(ADD), {**FORM, **changed})
    assert response.status_code == 200
    errors: dict[str, list[str]] = response.context["adminform"].form.errors
    return errors


def test_person_subscribes(client: Client, ada: User) -> None:
    collection = factories.make_collection(campus_names=["UC Davis", "UCLA", "UCSF"])
    factories.make_run(dag_id="a_new_dag")
    what = {
        "collections": [collection.pk],
        "campuses": ["UC Davis", "UCLA"],
        "dag_ids": ["harvest_collection", "a_new_dag"],
    }

    client.post(reverse(ADD), {**FORM, **what})

    subscription = Subscription.objects.get()
    assert subscription.owner == ada
    assert subscription.kinds == ["failed", "recovered"]
    assert subscription.campuses == ["UC Davis", "UCLA"]
    assert subscription.dag_ids == ["harvest_collection", "a_new_dag"]
    assert list(subscription.collections.all()) == [collection]


def test_form_shows_what_was_set(client: Client, ada: User) -> None:
    client.post(reverse(ADD), {**FORM, "dag_ids": ["harvest_collection"]})

    page = client.get(reverse(PAGE, args=[Subscription.objects.get().pk])).content.decode()

    assert page.count("checked") >= 4


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"kinds": []}, "kinds"),
        ({"kinds": ["running"]}, "kinds"),
        ({"address": ""}, "address"),
        ({"address": "nobody"}, "address"),
        ({"address": "ada@example.org, bob@example.org"}, "address"),
        ({"address": "ada@example.org\nBcc: bob@example.org"}, "address"),
        ({"channel": "webhook", "address": "http://example.org/"}, "address"),
        ({"channel": "webhook", "address": "javascript:alert(1)"}, "address"),
        ({"channel": "pigeon"}, "channel"),
        ({"campuses": ["UC Dravis"]}, "campuses"),
        ({"dag_ids": ["harvest_colection"]}, "dag_ids"),
    ],
)
def test_form_refuses_what_can_not_be_told(
    client: Client, ada: User, settings: Settings, changed: dict[str, Any], field: str
) -> None:
    settings.WEBHOOKS_GUARDED = True

    assert list(errors_of(client, **changed)) == [field]
    assert not Subscription.objects.exists()


def test_campus_that_no_collection_has_any_more_is_kept_and_said(client: Client, ada: User) -> None:
    subscription = factories.make_subscription(ada, campuses=["UC Gone"], dag_ids=["gone_dag"])
    page = reverse(PAGE, args=[subscription.pk])
    kept = {**FORM, "name": "renamed", "campuses": ["UC Gone"], "dag_ids": ["gone_dag"]}

    assert "UC Gone (no collection has it now)" in client.get(page).content.decode()
    assert "gone_dag (no run has it now)" in client.get(page).content.decode()
    assert client.post(page, kept).status_code == 302

    subscription.refresh_from_db()
    assert (subscription.name, subscription.campuses) == ("renamed", ["UC Gone"])


def test_mail_goes_to_domains_that_are_allowed(client: Client, ada: User, settings: Settings) -> None:
    settings.NOTICE_MAIL_DOMAINS = [".example.org"]

    assert list(errors_of(client, address="ada@example.com")) == ["address"]
    assert list(errors_of(client, address="ada@example.org.example.com")) == ["address"]
    for address in ("ada@Example.org", "ada@lists.example.org"):
        assert client.post(reverse(ADD), {**FORM, "address": address}).status_code == 302


def test_subscriptions_of_others_are_not_to_be_seen(client: Client, ada: User) -> None:
    theirs = factories.make_subscription(name="theirs")
    notice = factories.make_notice(theirs)

    assert "theirs" not in client.get(reverse(LIST)).content.decode()
    assert client.get(reverse(PAGE, args=[theirs.pk])).status_code == 302
    assert client.post(reverse(PAGE, args=[theirs.pk]), FORM).status_code == 302
    act(client, LIST, "send_test", theirs)
    act(client, LIST, "make_secret", theirs)
    assert "theirs" not in client.get(reverse(NOTICES)).content.decode()
    assert client.get(reverse("admin:harvest_notice_change", args=[notice.pk])).status_code == 302
    whole = client.get(f"/admin/harvest/notice/{notice.pk}/whole/")
    assert whole.status_code == 404
    theirs.refresh_from_db()
    assert (theirs.name, theirs.secret_number, theirs.notices.count()) == ("theirs", 0, 1)


def test_superuser_sees_all_and_becomes_no_owner(client: Client, ada: User) -> None:
    subscription = factories.make_subscription(ada)
    client.force_login(User.objects.create_superuser("root"))

    assert "ada" in client.get(reverse(LIST)).content.decode()
    client.post(reverse(PAGE, args=[subscription.pk]), {**FORM, "name": "renamed"})

    subscription.refresh_from_db()
    assert (subscription.name, subscription.owner) == ("renamed", ada)


def test_viewer_changes_nothing(client: Client) -> None:
    viewer = log_in(client, "viewer", "view_subscription", "view_notice")
    subscription = factories.make_subscription(viewer)
    notice = factories.make_notice(subscription, state=Notice.State.FAILED)

    assert client.post(reverse(ADD), FORM).status_code == 403
    assert client.post(reverse(PAGE, args=[subscription.pk]), FORM).status_code == 403
    act(client, LIST, "send_test", subscription)
    act(client, LIST, "make_secret", subscription)
    act(client, NOTICES, "try_again", notice)

    subscription.refresh_from_db()
    notice.refresh_from_db()
    assert (subscription.secret_number, subscription.notices.count()) == (0, 1)
    assert notice.state == Notice.State.FAILED


def test_secret_is_shown_once_and_kept_nowhere(client: Client, webhook: Subscription) -> None:
    response = act(client, LIST, "make_secret", webhook)

    secret = response.context["secret"]
    assert secret in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    body = b"{}"
    webhook.refresh_from_db()
    key = webhooks.derive_secret("a key for tests", webhook.pk, webhook.secret_number)
    headers = webhooks.sign(body, "1", timezone.now(), [key])
    Webhook(secret).verify(body, dict(headers))
    assert secret not in str(client.session.items())
    assert secret not in str(client.cookies)
    assert secret not in "".join(LogEntry.objects.values_list("change_message", flat=True))
    assert secret not in client.get(reverse(PAGE, args=[webhook.pk])).content.decode()


def test_secret_needs_one_webhook(client: Client, ada: User, webhook: Subscription) -> None:
    mail = factories.make_subscription(ada)

    assert "Choose one webhook" in act(client, LIST, "make_secret", mail).content.decode()
    assert "Choose one webhook" in act(client, LIST, "make_secret", mail, webhook).content.decode()


def test_list_shows_the_host_of_a_webhook_alone(client: Client, webhook: Subscription) -> None:
    page = client.get(reverse(LIST)).content.decode()

    assert "example.org" in page
    assert "secret-path" not in page


def test_test_is_written_for_those_that_are_active(client: Client, ada: User) -> None:
    on = factories.make_subscription(ada, name="on")
    off = factories.make_subscription(ada, name="off", active=False)

    page = act(client, LIST, "send_test", on, off).content.decode()

    assert "off is not active" in page
    notice = Notice.objects.get()
    assert (notice.subscription, notice.kind, notice.state) == (on, "test", Notice.State.WAITING)


def test_tests_are_so_many_an_hour_of_each_person(client: Client, ada: User) -> None:
    for number in range(limits.MAX_TESTS - 1):
        act(client, LIST, "send_test", factories.make_subscription(ada, name=str(number)))
    Subscription.objects.all().delete()  # what was sent counts all the same
    one, other = (factories.make_subscription(ada, name=name) for name in ("one", "other"))

    page = act(client, LIST, "send_test", one, other).content.decode()

    assert "one: a test is sent" in page
    assert "5 tests an hour" in page
    assert [notice.subscription for notice in Notice.objects.all()] == [one]
    LogEntry.objects.update(action_time=timezone.now() - timedelta(hours=1))
    assert "other: a test is sent" in act(client, LIST, "send_test", other).content.decode()


def test_test_is_sent_from_the_page_itself(client: Client, ada: User) -> None:
    subscription = factories.make_subscription(ada)
    page = reverse(PAGE, args=[subscription.pk])
    assert f'name="{BUTTON}"' in client.get(page).content.decode()

    response = client.post(page, {**FORM, "address": "bob@example.org", BUTTON: ""}, follow=True)

    assert "failures: a test is sent" in response.content.decode()
    assert Notice.objects.get().subscription.address == "bob@example.org"
    client.post(page, {**FORM, "active": "", BUTTON: ""})
    assert Notice.objects.count() == 1


def test_subscription_whose_only_collection_is_deleted_is_switched_off(
    client: Client, ada: User
) -> None:
    first, second, third = (factories.make_collection(number) for number in (1, 2, 3))
    only = factories.make_subscription(ada, name="only")
    only.collections.set([first])
    both = factories.make_subscription(ada, name="both")
    both.collections.set([first, second])
    more = factories.make_subscription(ada, name="more")
    more.collections.set([first, third])
    every = factories.make_subscription(ada, name="all")

    Collection.objects.filter(pk__in=[1, 2]).delete()

    active = {one.name: one.active for one in Subscription.objects.all()}
    assert active == {"only": False, "both": False, "more": True, "all": True}
    page = client.get(reverse(PAGE, args=[only.pk])).content.decode()
    assert "Its last collection was deleted: Collection 1 (1)." in page
    assert list(more.collections.all()) == [third]
    assert every.inactive_reason == ""


def test_subscription_that_is_switched_on_again_begins_anew(client: Client, ada: User) -> None:
    subscription = factories.make_subscription(
        ada, active=False, given_up=5, inactive_reason="It could not be told: it is gone."
    )
    page = reverse(PAGE, args=[subscription.pk])
    assert "it is gone" in client.get(page).content.decode()

    client.post(page, FORM)

    subscription.refresh_from_db()
    assert (subscription.active, subscription.given_up, subscription.inactive_reason) == (True, 0, "")


def test_notice_shows_what_became_of_it(client: Client, ada: User) -> None:
    run = factories.make_run(status="failed")
    change = RunChange.objects.create(
        harvest_run=run, kind="failed", source="events", changed_at=timezone.now()
    )
    notice = factories.make_notice(
        factories.make_subscription(ada, name="<b>mine</b>"),
        change=change,
        kind="failed",
        state=Notice.State.FAILED,
        error="it answered with status 500",
    )

    for url in (reverse(NOTICES), reverse("admin:harvest_notice_change", args=[notice.pk])):
        page = client.get(url).content.decode()
        assert "it answered with status 500" in page
        assert "given up" in page
        assert reverse("admin:harvest_harvestrun_change", args=[run.pk]) in page
        assert "<b>mine" not in page


def test_try_again_is_for_what_was_not_sent(client: Client, ada: User) -> None:
    subscription = factories.make_subscription(ada)
    given_up = factories.make_notice(subscription, state=Notice.State.FAILED, attempts=8)
    sent = factories.make_notice(subscription, state=Notice.State.SENT, attempts=1)

    assert "1 notice is sent" in act(client, NOTICES, "try_again", given_up, sent).content.decode()

    given_up.refresh_from_db()
    sent.refresh_from_db()
    assert (given_up.state, given_up.attempts) == (Notice.State.WAITING, 0)
    assert sent.state == Notice.State.SENT
    assert given_up.due_at <= timezone.now()


def test_notices_of_one_subscription_are_a_list(client: Client, webhook: Subscription) -> None:
    factories.make_notice(webhook)

    response = client.get(reverse(NOTICES), {"subscription__id__exact": webhook.pk})

    assert len(response.context["cl"].result_list) == 1
