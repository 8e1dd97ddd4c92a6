"""Which Airflows may be asked, and how: AIRFLOW_HOSTS.

``{"https://airflow.example.org": {"kind": "airflow2", "username": "avram", "password_env": "NAME"}}``:
the key is the address by which the events of a run name their host. Secrets are not in it. What is
read here says where each is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harvest import limits
from harvest.airflow_api.errors import Refused
from harvest.airflowpages import is_web_address
from harvest.errors import MalformedMessage
from harvest.strictjson import read_json_as_written


class Kind(StrEnum):
    """How a host is asked."""

    #: ``/api/v1``, basic authentication.
    AIRFLOW2 = "airflow2"
    #: ``/api/v2``, with a token from ``/auth/token``.
    AIRFLOW3 = "airflow3"
    #: By the API of AWS: Amazon Managed Workflows for Apache Airflow.
    MWAA = "mwaa"


_KEYS: Mapping[Kind, tuple[frozenset[str], frozenset[str]]] = {
    # What each kind must have, and may have besides.
    Kind.AIRFLOW2: (frozenset({"username"}), frozenset({"url", "password_env", "password_file"})),
    Kind.AIRFLOW3: (frozenset({"username"}), frozenset({"url", "password_env", "password_file"})),
    Kind.MWAA: (frozenset({"environment"}), frozenset({"region", "role_arn", "version"})),
}


class BadHosts(ValueError):
    """AIRFLOW_HOSTS can't be used. ``faults`` has a sentence for each reason, without any value."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(" ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Password:
    """Where a password is: in a variable, or in a file, whose last line break is not part of it."""

    variable: str = ""
    file: str = ""

    def read(self) -> str:
        """Return the password as it is now: a file may be replaced while we run.

        Raises:
            Refused: there is none, or it can't be sent.
        """
        try:
            text = os.environ.get(self.variable, "") if self.variable else Path(self.file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"its password can't be read: {type(error).__name__}") from None
        if not text.strip():
            raise Refused("its password is empty")
        if not _is_utf8(text):  # an error of encoding it later would quote it
            raise Refused("its password is no UTF-8")
        return text.rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class Host:
    """One Airflow. ``address`` is that of events, ``url`` the one to ask, the same unless configured."""

    address: str
    kind: Kind
    url: str = ""
    username: str = ""
    password: Password = Password()
    environment: str = ""
    region: str = ""
    role_arn: str = ""
    #: Of MWAA alone. :attr:`version` knows that of the others.
    mwaa_version: int = 2

    @property
    def version(self) -> int:
        """Airflow's, 2 or 3: their pages have other addresses."""
        return self.mwaa_version if self.kind == Kind.MWAA else 3 if self.kind == Kind.AIRFLOW3 else 2


def parse_hosts(text: str, *, debug: bool = False) -> dict[str, Host]:
    """Read AIRFLOW_HOSTS: JSON, or the path of a file of it. Empty: no host may be asked.

    With ``debug`` any host may be asked without TLS, else only this machine.

    Raises:
        BadHosts: it can't be used.
    """
    if not text.strip():
        return {}
    data = _read(text)
    hosts: dict[str, Host] = {}
    faults: list[str] = []
    for number, (address, keys) in enumerate(data.items(), 1):
        address = address.strip().rstrip("/")
        sound = is_web_address(address) and len(address) <= limits.MAX_HOST
        name = address if sound else f"Host {number}"
        if not sound:
            faults.append(f"{name}: its address is no URL such as https://airflow.example.org.")
        if address in hosts:
            faults.append(f"{name} is there twice.")
        found = list(_find_faults(address, keys, debug))
        faults += [f"{name}: {fault}" for fault in found]
        if sound and not found:
            hosts[address] = _make(address, keys)
    if faults:
        raise BadHosts(faults)
    return hosts


def _read(text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        try:
            text = Path(text.strip()).read_text()
        except (OSError, ValueError) as error:
            raise BadHosts(
                [f"It is neither a JSON object nor a file that can be read ({type(error).__name__})."]
            ) from None
    try:
        data = read_json_as_written(text, unique_keys=True)
    except MalformedMessage as error:
        raise BadHosts([f"It can't be read: {error}."]) from None
    if not isinstance(data, dict):
        raise BadHosts(["It is no JSON object."])
    return data


def _find_faults(address: str, keys: Any, debug: bool) -> Iterator[str]:
    if not isinstance(keys, dict) or not all(
        key == "version" or (isinstance(value, str) and value.strip()) for key, value in keys.items()
    ):
        yield "what belongs to it is no JSON object of texts."
        return
    if keys.get("kind") not in list(Kind):
        yield f"its kind is none of {', '.join(Kind)}."
        return
    kind = Kind(keys["kind"])
    required, optional = _KEYS[kind]
    for key in sorted(required - keys.keys()):
        yield f"{key} is missing, which {kind} needs."
    for key in sorted(keys.keys() - required - optional - {"kind"}):
        hint = ": name the variable in password_env" if key == "password" else ""
        yield f"{kind} has no key {key[: limits.MAX_LINE]!r}{hint}."
    if kind == Kind.MWAA:
        if keys.get("version", 2) not in (2, 3):
            yield "its version is neither 2 nor 3."
        return
    if not _is_utf8(keys.get("username", "")):
        yield "its username is no UTF-8."
    url = keys.get("url", address).rstrip("/")
    if "url" in keys and not is_web_address(url):
        yield "its url is no URL such as https://airflow.example.org."
    elif is_web_address(url) and not (url.startswith("https://") or debug or _is_this_machine(url)):
        yield "it would be asked without TLS: the URL must begin with https://."
    if ("password_env" in keys) == ("password_file" in keys):
        yield "one of password_env and password_file must be there."
        return
    try:
        _password(keys).read()
    except Refused as error:
        where = "password_env" if "password_env" in keys else "password_file"
        yield f"{error} ({where})."


def _make(address: str, keys: Mapping[str, Any]) -> Host:
    kind = Kind(keys["kind"])
    if kind == Kind.MWAA:
        return Host(
            address,
            kind,
            environment=keys["environment"],
            region=keys.get("region", ""),
            role_arn=keys.get("role_arn", ""),
            mwaa_version=int(keys.get("version", 2)),
        )
    return Host(
        address,
        kind,
        url=keys.get("url", address).rstrip("/"),
        username=keys["username"],
        password=_password(keys),
    )


def _password(keys: Mapping[str, str]) -> Password:
    return Password(keys.get("password_env", ""), keys.get("password_file", ""))


def _is_utf8(text: str) -> bool:
    """Return whether a text has nothing that stands for a byte of another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_this_machine(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
