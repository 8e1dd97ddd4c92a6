"""Tokens of the API in the admin: made by whom for whom, and shown once."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db.models import Q
from django.test import Client
from django.urls import reverse
from rest_framework.authtoken.models import Token

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

LIST = reverse("admin:authtoken_tokenproxy_changelist")
ADD = reverse("admin:authtoken_tokenproxy_add")


@pytest.fixture
def ada(client: Client) -> User:
    """Someone of the staff who may have a token."""
    ada = User.objects.create_user("ada", is_staff=True)
    codenames = ("view_tokenproxy", "add_tokenproxy", "delete_tokenproxy")
    ada.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(ada)
    return ada


def test_token_is_shown_when_it_is_made_and_never_again(client: Client, ada: User) -> None:
    made = client.post(ADD, {"user": ada.pk})

    key = Token.objects.get().key
    assert key in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    pages = ("change", "delete", "history")
    urls = [reverse(f"admin:authtoken_tokenproxy_{page}", args=[ada.pk]) for page in pages]
    for url in (LIST, *urls, reverse("admin:index")):
        page = client.get(url)
        assert page.status_code == 200
        assert key not in page.content.decode()
    client.post(urls[1], {"post": "yes"})
    assert LogEntry.objects.count() == 2
    assert not LogEntry.objects.filter(Q(object_repr__contains=key) | Q(object_id=key)).exists()


def test_token_of_another_is_neither_made_nor_seen(client: Client, ada: User) -> None:
    root = User.objects.create_superuser("root")

    assert client.post(ADD, {"user": root.pk}).status_code == 200
    assert not Token.objects.exists()

    Token.objects.create(user=root)
    assert not client.get(LIST).context["cl"].result_list
    assert client.get(reverse("admin:authtoken_tokenproxy_change", args=[root.pk])).status_code == 302


def test_superuser_makes_a_token_for_another(client: Client, ada: User) -> None:
    client.force_login(User.objects.create_superuser("root"))

    client.post(ADD, {"user": ada.pk})

    assert Token.objects.get().user == ada


def test_token_ends_when_it_is_deleted(client: Client, ada: User) -> None:
    Token.objects.create(user=ada)

    client.post(reverse("admin:authtoken_tokenproxy_delete", args=[ada.pk]), {"post": "yes"})

    assert not Token.objects.exists()
