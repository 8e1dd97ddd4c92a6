"""Pages in a real browser, which must stay on this machine and have nothing to complain of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright
from pytest_django.live_server_helper import LiveServer

from local import browser as chromium

#: Milliseconds that anything may take in a browser, on a machine that does other things too.
PATIENCE = 20_000

#: Makes a page of its own browser context, as `open_page(color_scheme="dark")`.
OpenPage = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests. Without one, tests fail in CI and are skipped elsewhere."""
    executable = chromium.find()
    if executable is None:
        if chromium.required():
            pytest.fail(chromium.NONE)
        pytest.skip(chromium.NONE)
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        # Playwright's sync API runs a loop in this thread, where Django would refuse its database.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        launched = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox"] if os.geteuid() == 0 else [],  # as root there is no other way
        )
        yield launched
        launched.close()


@pytest.fixture
def groups(live_server: LiveServer) -> None:
    """The groups that the migration makes: the end of a test before has emptied all tables."""
    import_module("harvest.migrations.0003_groups").make_groups(apps, None)


@pytest.fixture
def open_page(browser: Browser, live_server: LiveServer, groups: None) -> OpenPage:
    """Open pages on the live server, none of them logged in. At its end, each tells of its troubles.

    Fails the test where the console has an error, a script has failed, or a request went elsewhere.
    """

    @contextmanager
    def opened(**options: Any) -> Iterator[Page]:
        context = browser.new_context(base_url=live_server.url, **options)
        context.set_default_timeout(PATIENCE)
        troubles = _watch(context, urlsplit(live_server.url).netloc)
        try:
            yield context.new_page()
        finally:
            context.close()
        assert troubles == []

    return opened


@pytest.fixture
def superuser(live_server: LiveServer) -> User:
    return User.objects.create_superuser("staff", password="a long password")


@pytest.fixture
def page(open_page: OpenPage, superuser: User) -> Iterator[Page]:
    """A page that is logged in as a superuser, 1400 px wide."""
    with open_page(viewport={"width": 1400, "height": 900}) as opened:
        log_in(opened, superuser)
        yield opened


def log_in(page: Page, user: User) -> None:
    """Give a browser the session of a user, as the form of the login would."""
    client = Client()
    client.force_login(user)
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies(
        [
            {
                "name": settings.SESSION_COOKIE_NAME,
                "value": value,
                "domain": "127.0.0.1",  # where --liveserver in pyproject.toml has it
                "path": "/",
                "httpOnly": True,
            }
        ]
    )


def _watch(context: BrowserContext, own: str) -> list[str]:
    """Return a list to which all that goes wrong in a browser context is added."""
    troubles: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            troubles.append(f"console: {message.text} ({message.location.get('url')})")

    def see(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != own:
            troubles.append(f"request: {request.url}")

    context.on("console", hear)
    context.on("weberror", lambda error: troubles.append(f"script: {error.error}"))
    context.on("request", see)
    return troubles
