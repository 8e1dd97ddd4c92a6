"""What the process finds in its environment: variables, and the local parts of ``make run``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from harvest.airflow_api.hosts import BadHosts, Host, parse_hosts

ROOT = Path(__file__).resolve().parent.parent

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def load_local_parts() -> None:
    """Take from ``VAR_DIR/local.env`` what ``make run`` wrote there of its local servers.

    So that ``manage.py`` works beside ``make run`` without flags. Only where the environment says
    nothing of its own: one that does is complete, as in production, and is left alone.
    """
    if not os.environ.keys().isdisjoint(("SECRET_KEY", "DEBUG", "DATABASE_URL")):
        return
    file = Path(os.environ.get("VAR_DIR") or ROOT / "var") / "local.env"
    if file.is_file():
        for line in file.read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals:
                os.environ.setdefault(name, value)


def heed_aws_region() -> None:
    """Let boto3 see AWS_REGION, which every other AWS SDK and AWS's own containers go by.

    botocore reads AWS_DEFAULT_REGION alone, and that one goes first where both are set.
    """
    if region := os.environ.get("AWS_REGION"):
        os.environ.setdefault("AWS_DEFAULT_REGION", region)


def read_secret_url(name: str, default: str = "") -> str:
    """Return a variable that is a URL with a password, or else the default.

    Raises:
        ImproperlyConfigured: it is no such URL. The text says nothing of it: libraries would quote
            the part of a password that they take for a port.
    """
    text = os.environ.get(name) or default
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it raises where it is no number
        sound = bool(parts.scheme) and not parts.fragment
    except ValueError:
        sound = False
    if text and not sound:
        raise ImproperlyConfigured(
            f"{name} is not a URL such as scheme://user:password@host:port/name. Of the password, "
            "characters other than letters and digits are written with %: a slash is %2F."
        )
    return text


def read_web_address(name: str) -> str:
    """Return a variable that is the address of a page, for a link, or nothing where it is not set.

    Raises:
        ImproperlyConfigured: it is no such address.
    """
    address = os.environ.get(name, "")
    if address and not address.startswith(("https://", "http://")):
        raise ImproperlyConfigured(f"{name} begins with neither https:// nor http://")
    return address


def parse_database_url(url: str) -> dict[str, Any]:
    """Read the URL of a database as Django's settings.

    Raises:
        ImproperlyConfigured: it is of no database that this code knows.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres", "sqlite"):
        raise ImproperlyConfigured("DATABASE_URL begins with neither postgresql:// nor sqlite:///")
    if scheme == "sqlite" and not rest.startswith("/"):
        raise ImproperlyConfigured("DATABASE_URL: a file of SQLite has no host: write sqlite:///file")
    return dict(environ.Env.db_url_config(url))


def parse_email_url(url: str) -> dict[str, Any]:
    """Read EMAIL_URL as Django's settings.

    Raises:
        ImproperlyConfigured: it is of no mail server or backend that this code knows.
    """
    if url.partition("://")[0] not in environ.Env.EMAIL_SCHEMES:
        schemes = ", ".join(environ.Env.EMAIL_SCHEMES)
        raise ImproperlyConfigured(f"EMAIL_URL begins with none of {schemes}, and ://")
    return dict(environ.Env.email_url_config(url))


def guess_public_url(allowed_hosts: Sequence[str], *, debug: bool) -> str:
    """Return where people find the pages, by the first host that is named; "" where none is."""
    if debug:
        return f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
    named = [host.lstrip(".") for host in allowed_hosts if host != "*"]
    return f"https://{named[0]}" if named else ""


def parse_duration(text: str) -> timedelta:
    """Read a positive duration such as ``90s``, ``15m``, ``6h`` or ``2d``.

    Raises:
        ImproperlyConfigured: the text is something else.
    """
    number, unit = text.strip()[:-1], text.strip()[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdigit()) or not 0 < int(number) < 10**6:
        raise ImproperlyConfigured(
            f"{text!r} is no duration: write a whole number and a unit of s, m, h or d, such as 6h"
        )
    return timedelta(**{_UNITS[unit]: int(number)})


def parse_stale_after(text: str) -> tuple[timedelta, Mapping[str, timedelta]]:
    """Read STALE_AFTER: a default, then exceptions for single DAGs: ``6h,validate_by_mapper_type=1h``.

    Raises:
        ImproperlyConfigured: the text is something else.
    """
    default, *exceptions = text.split(",")
    by_dag = {}
    for exception in exceptions:
        dag_id, equals, duration = exception.partition("=")
        if not equals or not dag_id.strip():
            raise ImproperlyConfigured(
                f"STALE_AFTER: {exception!r} is no exception for a DAG: write dag_id=duration"
            )
        by_dag[dag_id.strip()] = parse_duration(duration)
    return parse_duration(default), by_dag


def parse_airflow_hosts(text: str, *, debug: bool) -> dict[str, Host]:
    """Read AIRFLOW_HOSTS: which Airflows may be asked, and how.

    Raises:
        ImproperlyConfigured: it can't be used, with a sentence for each fault. None quotes a value.
    """
    try:
        return parse_hosts(text, debug=debug)
    except BadHosts as error:
        raise ImproperlyConfigured("AIRFLOW_HOSTS: " + "\n".join(error.faults)) from None
