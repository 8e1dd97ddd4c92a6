"""The way in: how often a password may be tried, and what every answer carries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessAttemptExpiration
from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

pytestmark = pytest.mark.django_db

LOGIN = reverse("admin:login")
PASSWORD = "a long password"


@pytest.fixture(autouse=True)
def person(settings: Settings) -> User:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher"
    ]  # Quick: many are tried.
    return User.objects.create_user("ada", password=PASSWORD, is_staff=True)


def try_password(
    password: str, *, name: str = "ada", address: str = "198.51.100.7", **headers: str
) -> HttpResponse:
    form = {"username": name, "password": password, "next": reverse("admin:index")}
    response: HttpResponse = Client(REMOTE_ADDR=address).post(LOGIN, form, headers=headers)  # type: ignore[assignment]
    return response


def fail(times: int, **keys: str) -> None:
    for _ in range(times):
        try_password("wrong", **keys)


def test_right_password_lets_in_after_some_that_were_wrong() -> None:
    fail(settings.AXES_FAILURE_LIMIT - 1)

    assert try_password(PASSWORD).status_code == 302


def test_login_that_came_from_no_page_leads_to_the_front_page() -> None:
    response = Client().post(LOGIN, {"username": "ada", "password": PASSWORD})

    assert response.status_code == 302
    assert response["Location"] == reverse("admin:index")


def test_name_is_locked_out_from_wherever_it_comes() -> None:
    for number in range(settings.AXES_FAILURE_LIMIT):
        fail(1, address=f"198.51.100.{number}")

    response = try_password(PASSWORD, address="203.0.113.9")

    assert response.status_code == 429
    assert "Too many wrong passwords" in response.content.decode()
    assert "ask an administrator for a new one" in response.content.decode()


def test_address_is_locked_out_whatever_name_it_tries() -> None:
    for number in range(settings.AXES_FAILURE_LIMIT):
        fail(1, name=f"somebody-{number}")

    assert try_password(PASSWORD).status_code == 429
    assert try_password(PASSWORD, address="203.0.113.9").status_code == 302


def test_key_that_is_changed_ends_no_session_while_the_old_one_is_believed(settings: Settings) -> None:
    """docs/deploy.md: SECRET_KEY_FALLBACKS for as long as a session lasts."""
    client = Client()
    client.post(LOGIN, {"username": "ada", "password": PASSWORD})
    index, old = reverse("admin:index"), settings.SECRET_KEY
    signed = signing.dumps("of then")
    assert client.get(index).status_code == 200

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new key", [old]
    assert signing.loads(signed) == "of then"
    assert client.get(index).status_code == 200

    # From then on the session is the new key's.
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(signing.BadSignature):
        signing.loads(signed)
    assert client.get(index).status_code == 200


def test_key_that_is_changed_without_the_old_one_ends_all_sessions(settings: Settings) -> None:
    client = Client()
    client.post(LOGIN, {"username": "ada", "password": PASSWORD})

    settings.SECRET_KEY = "a new key"

    assert client.get(reverse("admin:index")).status_code == 302


def test_lock_opens_again_by_itself() -> None:
    fail(settings.AXES_FAILURE_LIMIT)
    past = timezone.now() - settings.AXES_COOLOFF_TIME - timedelta(seconds=1)
    AccessAttempt.objects.update(attempt_time=past)
    AccessAttemptExpiration.objects.update(expires_at=past)

    assert try_password(PASSWORD).status_code == 302


def test_who_is_logged_in_is_not_disturbed(client: Client, person: User) -> None:
    client.force_login(person)
    fail(settings.AXES_FAILURE_LIMIT, address="127.0.0.1")

    assert client.get(reverse("admin:index")).status_code == 200


def test_address_that_a_client_claims_is_not_believed(settings: Settings) -> None:
    settings.BEHIND_TLS_PROXY = True
    for number in range(settings.AXES_FAILURE_LIMIT):
        headers = {"X-Forwarded-For": f"203.0.113.{number}, 198.51.100.7"}
        fail(1, name=f"somebody-{number}", address="127.0.0.1", **headers)

    forged = {"X-Forwarded-For": "203.0.113.77, 198.51.100.7"}
    other = {"X-Forwarded-For": "198.51.100.8"}
    assert try_password(PASSWORD, address="127.0.0.1", **forged).status_code == 429
    assert try_password(PASSWORD, address="127.0.0.1", **other).status_code == 302


def test_passwords_and_what_is_too_long_are_not_kept() -> None:
    try_password("s3cr3t-guess", name="x" * 254, **{"User-Agent": "é" * 5000, "Accept": "a" * 5000})

    kept = AccessAttempt.objects.values().get()
    assert "s3cr3t-guess" not in str(kept)


@pytest.mark.parametrize("path", [LOGIN, "/admin/nothing", "/api/health/"])
def test_every_answer_says_what_a_browser_may_do_with_it(path: str, client: Client) -> None:
    headers = client.get(path).headers

    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["form-action"] == "'self'"
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_cookies_are_out_of_reach_for_scripts_and_other_sites() -> None:
    client = Client()
    client.get(LOGIN)
    client.post(LOGIN, {"username": "ada", "password": PASSWORD})

    for name in (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME):
        cookie = client.cookies[name]
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert client.cookies[settings.SESSION_COOKIE_NAME]["max-age"] == 12 * 3600
