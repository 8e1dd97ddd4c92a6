"""What the environment may say: how a variable's text is read, and the local parts of ``make run``.

What is wrong is a ValueError whose text goes on where the variable's name begins the sentence:
avram/variables.py names all variables.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from harvest.airflow_api.errors import AirflowError
from harvest.airflow_api.hosts import BadHosts, Host, parse_hosts
from harvest.signing import sns_host

ROOT = Path(__file__).resolve().parent.parent

#: What the monitoring broker may be reached by.
BROKERS = ("redis", "rediss", "redis+socket")

_ON = ("1", "on", "true", "yes")
_OFF = ("0", "off", "false", "no")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def own_version() -> str:
    """Return the version that pyproject.toml gives; "unknown" where the code came without it."""
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        return str(project["version"])
    except (OSError, ValueError, KeyError):
        return "unknown"


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


def parse_switch(text: str) -> bool:
    """Read what is on or off. Raises ValueError: it is neither."""
    word = text.strip().lower()
    if word not in _ON + _OFF:
        raise ValueError(f"is {text!r}, neither on nor off: write 1 or 0")
    return word in _ON


def parse_count(text: str) -> int:
    """Read a number of things, of which there is at least one. Raises ValueError: it is none."""
    number = text.strip()
    if not (number.isascii() and number.isdigit()) or not 0 < int(number[:10]) < 10**6:
        raise ValueError(f"is {text!r}, not a whole number from 1 to 999999")
    return int(number)


def parse_factor(text: str) -> float:
    """Read by how much something is done faster. Raises ValueError: it is no such number."""
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text.strip(), re.ASCII) or not float(text):
        raise ValueError(f"is {text!r}, not a number above 0 and below 1000, such as 10 or 0.5")
    return float(text)


def parse_port(text: str) -> int:
    """Read a port to listen on. Raises ValueError: it is none."""
    number = text.strip()
    if not (number.isascii() and number.isdigit()) or not 0 < int(number[:10]) < 65536:
        raise ValueError(f"is {text!r}, not a port between 1 and 65535")
    return int(number)


def parse_listening_address(text: str) -> str:
    """Read an address of this machine to listen on. Raises ValueError: it is none."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        raise ValueError(f"is {text!r}, not an IP address such as 127.0.0.1 or 0.0.0.0") from None


def parse_endpoint(text: str) -> tuple[str, int]:
    """Read an address of this machine and a port. Raises ValueError: it is none."""
    address, colon, port = text.strip().rpartition(":")
    if not colon:
        raise ValueError(f"is {text!r}, not an IP address and a port such as 127.0.0.1:9808")
    return parse_listening_address(address.removeprefix("[").removesuffix("]")), parse_port(port)


def parse_list(text: str) -> list[str]:
    """Read words with commas between them."""
    return [word.strip() for word in text.split(",") if word.strip()]


def parse_host_names(text: str) -> list[str]:
    """Read host names, as in Django's ALLOWED_HOSTS. Raises ValueError: one is something else."""
    for name in (names := parse_list(text)):
        if not re.fullmatch(r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\]", name):
            raise ValueError(f"has {name!r}, which is no host name: write it without https:// and port")
    return names


def parse_origins(text: str) -> list[str]:
    """Read origins such as https://registry.example.org. Raises ValueError: one is something else."""
    for origin in (origins := parse_list(text)):
        if not re.fullmatch(r"https?://[^/\s]+", origin):
            raise ValueError(f"has {origin!r}, which is no origin such as https://registry.example.org")
    return origins


def parse_topic_arns(text: str) -> list[str]:
    """Read ARNs of SNS topics. Raises ValueError: one is something else."""
    for topic_arn in (topic_arns := parse_list(text)):
        try:
            sns_host(topic_arn)
        except ValueError as error:
            raise ValueError(f"has a topic that is none: {error}") from None
    return topic_arns


def parse_one_of(*words: str) -> Callable[[str], str]:
    """Return what reads one of these words. It raises ValueError: it is none of them."""

    def parse(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError(f"is {text!r}, which is none of {', '.join(words)}")
        return text.strip().lower()

    return parse


def parse_sentry_dsn(text: str) -> str:
    """Read where Sentry takes reports. Raises ValueError: it is no DSN; says nothing of it."""
    from sentry_sdk.utils import BadDsn, Dsn  # 5 MB, for who has one

    try:
        Dsn(text.strip())
    except (BadDsn, ValueError):
        raise ValueError(
            "is no DSN of Sentry such as https://key@sentry.example.org/1: copy it from the project's "
            "settings there"
        ) from None
    return text.strip()


def parse_queue_url(text: str) -> str:
    """Read the URL of an SQS queue. Raises ValueError: it is none."""
    url = text.strip()
    if not re.fullmatch(r"https?://[^/\s]+/\d{12}/[\w-]{1,80}", url, re.ASCII):
        raise ValueError(
            f"is {text!r}, not the URL of a queue such as "
            "https://sqs.us-west-2.amazonaws.com/123456789012/rikolti-events"
        )
    return url


def parse_secret_url(text: str) -> str:
    """Read a URL that may have a password.

    Raises:
        ValueError: it is no such URL. The text says nothing of it: libraries would quote the part of
            a password that they take for a port.
    """
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it raises where it is no number
        sound = bool(parts.scheme) and not parts.fragment
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(
            "is not a URL such as scheme://user:password@host:port/name. Of the password, "
            "characters other than letters and digits are written with %: a slash is %2F"
        )
    return text


def passwords_of(url: str) -> Iterator[str]:
    """Yield the password of a URL, as it is written there and as it is meant; also the key of a DSN."""
    parts = urlsplit(url)
    for written in (parts.password, parts.username if parts.scheme.startswith("http") else None):
        if written:
            yield written
            yield unquote(written)


def parse_broker_url(text: str) -> str:
    """Read the URL of a Redis or a Valkey. Raises ValueError: it is none; says nothing of it."""
    if parse_secret_url(text).partition("://")[0] not in BROKERS:
        raise ValueError("begins with none of " + ", ".join(f"{scheme}://" for scheme in BROKERS))
    return text


def parse_web_address(text: str) -> str:
    """Read the address of a page, for a link. Raises ValueError: it is none."""
    if not text.startswith(("https://", "http://")):
        raise ValueError("begins with neither https:// nor http://")
    if not re.fullmatch(r"https?://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?([/?#][!-~]*)?", text):
        raise ValueError(
            "is no address such as https://registry.example.org: it has no spaces and no password"
        )
    return text


def parse_region(text: str) -> str:
    """Read a region of AWS. Raises ValueError: it is none."""
    if not re.fullmatch(r"[a-z]{2,}(-[a-z]+)+-\d{1,2}", text, re.ASCII):
        raise ValueError(f"is {text!r}, not a region such as us-west-2")
    return text


def parse_token(text: str) -> str:
    """Read what goes into a header of HTTP as it is. Raises ValueError: it can't; says nothing of it."""
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(
            "has a space, or a character that is not ASCII: `openssl rand -hex 32` makes a good one"
        )
    return text


def parse_database_url(text: str) -> dict[str, Any]:
    """Read the URL of a database as Django's settings.

    Raises:
        ValueError: it is of no database that this code knows. Says nothing of it.
    """
    scheme, _, rest = parse_secret_url(text).partition("://")
    if scheme not in ("postgresql", "postgres", "sqlite"):
        raise ValueError("begins with neither postgresql:// nor sqlite:///")
    if scheme == "sqlite" and not rest.startswith("/"):
        raise ValueError("is a file of SQLite, which has no host: write sqlite:///file")
    return dict(environ.Env.db_url_config(text))


def parse_email_url(text: str) -> dict[str, Any]:
    """Read the URL of a mail server as Django's settings.

    Raises:
        ValueError: it is of no server or backend that this code knows. Says nothing of it.
    """
    if parse_secret_url(text).partition("://")[0] not in environ.Env.EMAIL_SCHEMES:
        schemes = ", ".join(environ.Env.EMAIL_SCHEMES)
        raise ValueError(f"begins with none of {schemes}, and ://")
    return dict(environ.Env.email_url_config(text))


def parse_rate(text: str) -> str:
    """Read how often something may be asked for, such as ``120/min``. Raises ValueError: it is none."""
    if not re.fullmatch(r"[1-9][0-9]{0,6}/(s|min|h|day)", text.strip()):
        raise ValueError(f"is {text!r}: write a number and s, min, h or day, such as 120/min")
    return text.strip()


def guess_public_url(allowed_hosts: Sequence[str], *, debug: bool, port: int) -> str:
    """Return where people find the pages, by the first host that is named; "" where none is."""
    if debug:
        return f"http://127.0.0.1:{port}"
    named = [host.lstrip(".") for host in allowed_hosts if host != "*"]
    return f"https://{named[0]}" if named else ""


def parse_duration(text: str) -> timedelta:
    """Read a positive duration such as ``90s``, ``15m``, ``6h`` or ``2d``.

    Raises:
        ValueError: the text is something else.
    """
    number, unit = text.strip()[:-1], text.strip()[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdigit()) or not 0 < int(number) < 10**6:
        raise ValueError(
            f"has {text!r}, which is no duration: write a whole number and a unit of s, m, h or d, "
            "such as 6h"
        )
    return timedelta(**{_UNITS[unit]: int(number)})


def parse_silence(text: str) -> timedelta:
    """Read after which silence a process is missed. Raises ValueError: no time for that."""
    silence = parse_duration(text)
    if not timedelta(seconds=25) <= silence <= timedelta(hours=1):
        raise ValueError(f"is {text!r}: a poll takes 20 s, so write 25s to 1h")
    return silence


#: What /readyz can ask for.
READY_PARTS = (
    "database",
    "migrations",
    "events_queue",
    "tasks_queue",
    "beat",
    "worker",
    "consumer",
)


def parse_parts(text: str) -> list[str]:
    """Read what /readyz asks for, with commas between. Raises ValueError: one of them is none."""
    parts = parse_list(text)
    if unknown := set(parts) - set(READY_PARTS):
        raise ValueError(f"has {min(unknown)!r}, which is none of {', '.join(READY_PARTS)}")
    return parts


def parse_stale_after(text: str) -> tuple[timedelta, Mapping[str, timedelta]]:
    """Read STALE_AFTER: a default, then exceptions for single DAGs: ``6h,validate_by_mapper_type=1h``.

    Raises:
        ValueError: the text is something else.
    """
    default, *exceptions = text.split(",")
    by_dag = {}
    for exception in exceptions:
        dag_id, equals, duration = exception.partition("=")
        if not equals or not dag_id.strip():
            raise ValueError(f"has {exception!r}, which is no exception of a DAG: write dag_id=1h")
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


def passwords_of_hosts(hosts: Mapping[str, Host]) -> Iterator[str]:
    """Yield the passwords of Airflows, those that can be read by now."""
    for host in hosts.values():
        with suppress(AirflowError):  # it has none, or who asks that Airflow is told why not
            yield host.password.read()
