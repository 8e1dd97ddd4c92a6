"""Who may do what: every address that the site has, by every method, as everybody.

The two tables are the rule, and docs/permissions.md tells it in words. An address or an action that they
don't have is one that nobody has thought about, and fails the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import SimpleCookie
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.core.cache import cache
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import get_resolver, reverse
from django.urls.resolvers import URLPattern, URLResolver
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_celery_results.models import GroupResult, TaskResult
from rest_framework.authtoken.models import TokenProxy

from harvest import queues, recording, redrive
from harvest.admin import asking
from harvest.models import HarvestEvent, QueueReading, Redrive, RejectedMessage
from tests import factories

pytestmark = pytest.mark.django_db

# Who may, beside the superuser. The first three of ROLES are in no group.
ROLES = ("anonymous", "member", "staff", "viewer", "operator", "publisher", "superuser")
EVERYONE = frozenset(ROLES)
MEMBERS = EVERYONE - {"anonymous"}
STAFF = frozenset(("staff", "viewer", "operator", "publisher"))
VIEWERS = frozenset(("viewer", "operator", "publisher"))
OPERATORS = frozenset(("operator",))
PUBLISHERS = frozenset(("publisher",))
SUPERUSERS: frozenset[str] = frozenset()
#: Not even the superuser.
NOBODY = frozenset(("nobody",))
#: There is no such method there.
NONE = frozenset(("none",))

#: Who may ask for an address by GET, and who may POST to it. PUT, PATCH, DELETE are no more than a GET.
SITE = {
    "": (EVERYONE, EVERYONE),
    "favicon.ico": (EVERYONE, EVERYONE),
    "admin/": (STAFF, STAFF),
    "admin/login/": (EVERYONE, EVERYONE),
    "admin/logout/": (NONE, STAFF),
    "admin/password_change/": (STAFF, STAFF),
    "admin/password_change/done/": (STAFF, NONE),
    "admin/search/": (STAFF, STAFF),
    "admin/autocomplete/": (VIEWERS, NONE),
    "admin/jsi18n/": (STAFF, NONE),
    "admin/r/<path:content_type_id>/<path:object_id>/": (STAFF, STAFF),  # Nothing has such a page: 404.
    "admin/^(?P<app_label>{apps})/$": (STAFF, STAFF),  # which lists what one may see there
    "admin/(?P<url>.*)$": (STAFF, STAFF),  # what is left: 404
    "api/runs/": (VIEWERS, NONE),
    "api/runs/<id:pk>/": (VIEWERS, NONE),
    "api/runs/<id:run_id>/events/": (VIEWERS, NONE),
    "api/events/": (VIEWERS, NONE),
    "api/events/<id:pk>/": (VIEWERS, NONE),
    "api/health/": (VIEWERS, NONE),
    "api/schema/": (MEMBERS, NONE),
    "api/^": (EVERYONE, EVERYONE),  # what is left: 404
    # harvest.probes answers these before the site is asked.
    "healthz": (EVERYONE, NONE),
    "readyz": (EVERYONE, NONE),
    "metrics": (EVERYONE, NONE),  # 404 without a token: tests/db/test_metrics.py
}

#: The pages that each model has in the admin.
READ_ONLY = {
    "": (VIEWERS, VIEWERS),
    "add/": (NOBODY, NOBODY),
    "<path:object_id>/history/": (VIEWERS, VIEWERS),
    "<path:object_id>/delete/": (NOBODY, NOBODY),
    "<path:object_id>/change/": (VIEWERS, NOBODY),
    "<path:object_id>/": (STAFF, STAFF),  # leads to the page before, which asks who it is
    "<path:object_id>/whole/": (VIEWERS, VIEWERS),
}
ORDINARY = {
    **READ_ONLY,
    "add/": (SUPERUSERS, SUPERUSERS),
    "<path:object_id>/delete/": (SUPERUSERS, SUPERUSERS),
    "<path:object_id>/change/": (VIEWERS, SUPERUSERS),
}
del ORDINARY["<path:object_id>/whole/"]
PEOPLE = dict.fromkeys(ORDINARY, (SUPERUSERS, SUPERUSERS)) | {"<path:object_id>/": (STAFF, STAFF)}

MODELS = {
    "auth/group": PEOPLE,
    "auth/user": {**PEOPLE, "<id>/password/": (SUPERUSERS, SUPERUSERS)},
    # People's own: superusers see those of all.
    "authtoken/tokenproxy": {
        **ORDINARY,
        "": (VIEWERS, VIEWERS),
        "add/": (VIEWERS, VIEWERS),
        "<path:object_id>/delete/": (VIEWERS, VIEWERS),
        "<path:object_id>/change/": (VIEWERS, NOBODY),
    },
    "harvest/notice": READ_ONLY,
    "harvest/subscription": {
        **ORDINARY,
        "add/": (VIEWERS, VIEWERS),
        "<path:object_id>/delete/": (VIEWERS, VIEWERS),
        "<path:object_id>/change/": (VIEWERS, VIEWERS),
    },
    "django_celery_beat/clockedschedule": ORDINARY,
    "django_celery_beat/crontabschedule": ORDINARY,
    "django_celery_beat/intervalschedule": ORDINARY,
    "django_celery_beat/periodictask": ORDINARY,
    "django_celery_beat/solarschedule": ORDINARY,
    "django_celery_results/groupresult": ORDINARY,
    "django_celery_results/taskresult": {
        **READ_ONLY,
        "<path:object_id>/delete/": (SUPERUSERS, SUPERUSERS),
    },
    "harvest/collection": {
        **ORDINARY,
        "start/<slug:action>/": (PUBLISHERS, PUBLISHERS),
        "started/<slug:action>/<slug:token>/": (PUBLISHERS, PUBLISHERS),
    },
    "harvest/harvestevent": {**READ_ONLY, "<path:object_id>/message/": (VIEWERS, VIEWERS)},
    "harvest/harvestrun": {
        **READ_ONLY,
        "<path:object_id>/change/": (VIEWERS, OPERATORS),  # sets the status
        "<path:object_id>/look/": (NONE, OPERATORS),
        "<path:object_id>/task/": (VIEWERS, VIEWERS),
        "<path:object_id>/events.jsonl": (VIEWERS, VIEWERS),
    },
    "harvest/harvesttrigger": {**READ_ONLY, "<int:pk>/look-again/": (NONE, PUBLISHERS)},
    "harvest/queuereading": {
        **READ_ONLY,
        "queues/": (VIEWERS, VIEWERS),
        "queues/redrive/<str:kind>/": (OPERATORS, OPERATORS),
    },
    "harvest/redrive": READ_ONLY,
    "harvest/rejectedmessage": {
        **READ_ONLY,
        "<path:object_id>/delete/": (SUPERUSERS, SUPERUSERS),
        "<path:object_id>/replay/": (NONE, OPERATORS),
    },
}

#: What can be done with the rows that are ticked in a list, and who may.
ACTIONS = {
    ("auth/group", "delete_selected"): SUPERUSERS,
    ("auth/user", "delete_selected"): SUPERUSERS,
    ("django_celery_beat/clockedschedule", "delete_selected"): SUPERUSERS,
    ("django_celery_beat/crontabschedule", "delete_selected"): SUPERUSERS,
    ("django_celery_beat/intervalschedule", "delete_selected"): SUPERUSERS,
    ("django_celery_beat/periodictask", "delete_selected"): SUPERUSERS,
    ("django_celery_beat/periodictask", "disable_tasks"): SUPERUSERS,
    ("django_celery_beat/periodictask", "enable_tasks"): SUPERUSERS,
    ("django_celery_beat/periodictask", "run_now"): OPERATORS,
    ("django_celery_beat/solarschedule", "delete_selected"): SUPERUSERS,
    ("django_celery_results/groupresult", "delete_selected"): SUPERUSERS,
    ("django_celery_results/taskresult", "delete_selected"): SUPERUSERS,
    ("harvest/collection", "delete_selected"): SUPERUSERS,
    ("harvest/collection", "harvest_selected"): PUBLISHERS,
    ("harvest/collection", "publish_selected"): PUBLISHERS,
    ("harvest/collection", "unpublish_selected"): PUBLISHERS,
    ("harvest/harvestrun", "recompute"): OPERATORS,
    ("harvest/notice", "try_again"): VIEWERS,
    ("harvest/rejectedmessage", "delete_selected"): SUPERUSERS,
    ("harvest/rejectedmessage", "replay"): OPERATORS,
    ("harvest/subscription", "delete_selected"): VIEWERS,
    ("harvest/subscription", "make_secret"): VIEWERS,
    ("harvest/subscription", "send_test"): VIEWERS,
}


def table() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    models = {
        f"admin/{model}/{page}": who for model, pages in MODELS.items() for page, who in pages.items()
    }
    return {**SITE, **models}


def routes(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """Yield every address of the site, as the table has it."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield "admin/^(?P<app_label>{apps})/$" if "app_label" in route else route
        else:
            yield from routes(pattern, route)


def make_rows(owner: User | None) -> dict[str, int | str]:
    """Make a row of each model that has pages, some of somebody. Return their keys."""
    owner = owner or User.objects.create_user("owner")
    collection = factories.make_collection()
    event = recording.record([factories.task_error()])
    recording.record([factories.sqs_message("not JSON")])
    now = timezone.now()
    clocked = ClockedSchedule.objects.create(clocked_time=now)
    interval = IntervalSchedule.objects.create(every=7, period="hours")
    subscription = factories.make_subscription(owner=owner)
    return {
        "authtoken/tokenproxy": TokenProxy.objects.create(user=owner).pk,
        "harvest/notice": factories.make_notice(subscription).pk,
        "harvest/subscription": subscription.pk,
        "auth/group": Group.objects.create(name="others").pk,
        "auth/user": User.objects.create_user("somebody").pk,
        "django_celery_beat/clockedschedule": clocked.pk,
        "django_celery_beat/crontabschedule": CrontabSchedule.objects.create(minute="7").pk,
        "django_celery_beat/intervalschedule": interval.pk,
        "django_celery_beat/periodictask": PeriodicTask.objects.create(
            name="one", task="harvest.read_queues", interval=interval
        ).pk,
        "django_celery_beat/solarschedule": SolarSchedule.objects.create(
            event="sunset", latitude=1, longitude=1
        ).pk,
        "django_celery_results/groupresult": GroupResult.objects.create(group_id="a").pk,
        "django_celery_results/taskresult": TaskResult.objects.create(task_id="a").pk,
        "harvest/collection": collection.pk,
        "harvest/harvestevent": HarvestEvent.objects.get().pk,
        "harvest/harvestrun": event.run_id or 0,
        "harvest/harvesttrigger": factories.make_trigger(collection, state="accepted").pk,
        "harvest/queuereading": QueueReading.objects.create(
            queue="rikolti-events", read_at=now, visible=1, in_flight=0
        ).pk,
        "harvest/redrive": Redrive.objects.create(
            started_at=now, touched_at=now, kind="events", queue="a-dlq", total=1
        ).pk,
        "harvest/rejectedmessage": RejectedMessage.objects.get().pk,
    }


def address(route: str, rows: dict[str, int | str]) -> str:
    """Return an address of the route, about the rows that there are."""
    filled = route.replace("^(?P<app_label>{apps})/$", "harvest/").replace("(?P<url>.*)$", "nothing")
    filled = filled.replace("<path:content_type_id>", str(ContentType.objects.get_for_model(User).pk))
    model = "/".join(route.split("/")[1:3])
    if route.startswith("api/"):
        model = "harvest/harvestrun" if "runs/" in route else "harvest/harvestevent"
        filled = filled.removesuffix("^")
    for name in ("<path:object_id>", "<int:pk>", "<id>", "<id:pk>", "<id:run_id>"):
        filled = filled.replace(name, str(rows.get(model, 1)))
    filled = filled.replace("<slug:action>", "harvest").replace("<slug:token>", "0" * 12)
    filled = filled.replace("<str:kind>", "events")
    assert not set("<>^$") & set(filled), f"a new kind of part in {route}"
    queries = {
        "start": f"?ids={rows['harvest/collection']}",
        "task": "?task=fetching.fetch_collection",
        "autocomplete": "?app_label=harvest&model_name=harvesttrigger&field_name=collection&term=a",
    }
    return f"/{filled}{next((query for part, query in queries.items() if f'/{part}' in filled), '')}"


def log_in(role: str) -> tuple[Client, User | None]:
    """Return a client that is logged in as somebody in that role, and who that is."""
    client, user = Client(), None
    if role != "anonymous":
        user = User.objects.create_user(
            role, is_staff=role != "member", is_superuser=role == "superuser"
        )
        if role in VIEWERS:
            user.groups.add(Group.objects.get(name=role))
        client.force_login(user)
    return client, user


def outcome(route: str, response: HttpResponseBase) -> str:
    if response.status_code == 302 and response["Location"].startswith(reverse("admin:login")):
        return "login"
    if route == "admin/logout/" and response.status_code == 302:
        return "login"  # to the front page, which asks for one
    return {401: "login", 403: "no", 405: "none"}.get(response.status_code, "yes")


def expected(role: str, who: frozenset[str]) -> set[str]:
    if role in who or (role == "superuser" and who not in (NOBODY, NONE)):
        return {"yes"}
    refused = {"login"} if role == "anonymous" else {"login", "no"} if role == "member" else {"no"}
    return {"none", *refused} if who == NONE else refused


@pytest.fixture(autouse=True)
def no_requests_before() -> None:
    """Each test has the API's rate to itself: users of tests that are over have the same ids."""
    cache.clear()


@pytest.fixture
def nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this process: that is other tests' affair."""

    def begin(*args: Any, **keys: Any) -> None:
        raise queues.NoSuchQueue("none")

    monkeypatch.setattr(asking, "send", lambda *args: None)
    monkeypatch.setattr(redrive, "begin", begin)


def contents() -> dict[str, list[Any]]:
    """Return all rows of all tables, but for those that say who is logged in."""
    models = [model for model in apps.get_models() if model._meta.label != "sessions.Session"]
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in models}


def test_every_address_is_in_the_table_and_no_other() -> None:
    assert {*routes(), "healthz", "readyz", "metrics"} == set(table())


@pytest.mark.parametrize(
    "role",
    [
        # On each database it is enough to see that each page answers.
        role if role == "superuser" else pytest.param(role, marks=pytest.mark.one_database)
        for role in ROLES
    ],
)
@pytest.mark.usefixtures("nothing_is_sent")
def test_each_address_is_for_those_of_the_table(role: str) -> None:
    client, user = log_in(role)
    rows = make_rows(user)
    cookies = SimpleCookie(client.cookies)
    wrong = []
    for route, (get, post) in table().items():
        for method, who in (("GET", get), ("POST", post)):
            with transaction.atomic():  # Whatever it does is undone, also the end of the session.
                client.cookies = SimpleCookie(cookies)
                response = client.generic(method, address(route, rows))
                found = outcome(route, response)
                transaction.set_rollback(True)
            if found not in expected(role, who) or response.status_code == 500:
                wrong.append(f"{method} {route}: {response.status_code}")
    assert wrong == []


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("role", "methods"),
    [
        ("anonymous", ("PUT", "PATCH", "DELETE")),
        ("member", ("PUT", "PATCH", "DELETE")),
        ("staff", ("PUT", "PATCH", "DELETE")),
        ("viewer", ("PATCH",)),
        ("operator", ("PUT",)),
        ("superuser", ("DELETE",)),  # who may change all, by the other methods
    ],
)
@pytest.mark.usefixtures("nothing_is_sent")
def test_other_methods_show_no_more_and_change_nothing(role: str, methods: tuple[str, ...]) -> None:
    client, user = log_in(role)
    rows = make_rows(user)
    if role == "superuser":
        client.get(reverse("admin:index"))
    before = contents()
    wrong = []
    for route, (get, _post) in table().items():
        for method in methods:
            if route == "admin/logout/":
                continue  # which knows POST alone, and ends a session otherwise
            response = client.generic(method, address(route, rows))
            if (
                outcome(route, response) not in {"none", *expected(role, get)}
                or response.status_code == 500
            ):
                wrong.append(f"{method} {route}: {response.status_code}")
    assert wrong == []
    assert contents() == before


@pytest.mark.parametrize("role", ["staff", "viewer", "operator", "publisher", "superuser"])
def test_each_action_is_for_those_of_the_table(role: str) -> None:
    request = RequestFactory().get("/")
    _client, user = log_in(role)
    assert user is not None
    request.user = user
    found = {
        (model._meta.label_lower.replace(".", "/"), action)
        for model, pages in admin.site._registry.items()
        if pages.has_view_permission(request)
        for action in pages.get_actions(request)
    }
    if role == "superuser":
        assert found == set(ACTIONS)
    else:
        assert found == {action for action, who in ACTIONS.items() if role in who}


@pytest.mark.one_database
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.usefixtures("nothing_is_sent")
def test_each_action_is_done_for_those_of_the_table_and_for_nobody_else(role: str) -> None:
    client, user = log_in(role)
    rows = make_rows(user)
    client.get(reverse("admin:index"))  # which finds what the process keeps
    cookies, before = SimpleCookie(client.cookies), contents()
    wrong = []
    for (model, action), who in ACTIONS.items():
        with transaction.atomic():
            client.cookies = SimpleCookie(cookies)
            response = client.post(
                f"/admin/{model}/", {"action": action, "_selected_action": [rows[model]]}
            )
            said = [str(one) for one in get_messages(response.wsgi_request)]
            done = (
                response.status_code < 400
                and outcome("", response) == "yes"
                and "No action selected." not in said
                and "cl" not in (response.context or {})  # the list itself, as if nothing was asked
            )
            if done != (role in who or role == "superuser") or response.status_code == 500:
                wrong.append(f"{model} {action}: {response.status_code} {said}")
            if not done and contents() != before:
                wrong.append(f"{model} {action} changed something")
            transaction.set_rollback(True)
    assert wrong == []


def test_post_without_token_of_its_form_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    user = User.objects.create_superuser("boss")
    client.force_login(user)
    rows = make_rows(user)

    forms = {
        route
        for route, (_get, post) in table().items()
        if post not in (NOBODY, NONE) and not route.startswith("api/")
    }

    assert {one for one in forms if client.post(address(one, rows)).status_code != 403} == set()


def test_groups_hold_what_they_are_named_for() -> None:
    def held(name: str) -> set[str]:
        permissions = Group.objects.get(name=name).permissions.all()
        return set(permissions.values_list("codename", flat=True))

    assert held("operator") - held("viewer") == {
        "reconcile_run", "run_schedule", "set_status", "replay_message", "redrive_queue",
    }  # fmt: skip
    assert held("publisher") - held("viewer") == {"trigger_run"}
    assert {one for one in held("viewer") if not one.startswith("view_")} == {
        "add_subscription", "change_subscription", "delete_subscription", "change_notice",
        "add_tokenproxy", "delete_tokenproxy",
    }  # fmt: skip
    everything = Permission.objects.filter(
        codename__startswith="view_", content_type__app_label="harvest"
    )
    assert set(everything.values_list("codename", flat=True)) - held("viewer") == {"view_heartbeat"}


def test_groups_are_made_once_and_then_left_alone() -> None:
    viewer = Group.objects.get(name="viewer")
    viewer.permissions.set([])
    Group.objects.get(name="publisher").delete()

    import_module("harvest.migrations.0003_groups").make_groups(apps, None)

    assert not viewer.permissions.exists()
    assert Group.objects.get(name="publisher").permissions.filter(codename="trigger_run").exists()
