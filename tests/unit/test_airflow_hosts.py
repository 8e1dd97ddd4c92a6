"""AIRFLOW_HOSTS: what it may say, and what is said of its faults."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from avram.environment import parse_airflow_hosts
from harvest.airflow_api import Host, Kind
from harvest.airflow_api.errors import Refused
from harvest.airflow_api.hosts import BadHosts, Password, parse_hosts
from tests.unit.test_environment import read_settings

ADDRESS = "https://airflow.example.org"
SECRET = "s3cr3t"
AIRFLOW2 = {"kind": "airflow2", "username": "avram", "password_env": "AIRFLOW_PASSWORD"}
MWAA = {"kind": "mwaa", "environment": "rikolti"}


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_PASSWORD", SECRET)


def faults_of(hosts: Any, *, debug: bool = False) -> list[str]:
    with pytest.raises(BadHosts) as raised:
        parse_hosts(hosts if isinstance(hosts, str) else json.dumps(hosts), debug=debug)
    return raised.value.faults


def test_parse_hosts_of_each_kind(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    airflow3 = {
        "kind": "airflow3",
        "url": "https://api.example.org/airflow/",
        "username": "avram",
        "password_file": str(file),
    }
    mwaa = {**MWAA, "region": "us-west-2", "role_arn": "arn:aws:iam::123456789012:role/a"}
    text = json.dumps({f"{ADDRESS}/": AIRFLOW2, "https://b.example.org": airflow3, "https://c": mwaa})

    hosts = parse_hosts(text)

    assert hosts[ADDRESS] == Host(
        ADDRESS, Kind.AIRFLOW2, ADDRESS, "avram", Password(variable="AIRFLOW_PASSWORD")
    )
    three = hosts["https://b.example.org"]
    assert (three.url, three.password.read()) == ("https://api.example.org/airflow", SECRET)
    assert (hosts["https://c"].region, hosts["https://c"].environment) == ("us-west-2", "rikolti")


@pytest.mark.parametrize(
    ("keys", "version"),
    [
        (AIRFLOW2, 2),
        ({**AIRFLOW2, "kind": "airflow3"}, 3),
        (MWAA, 2),
        ({**MWAA, "version": 2}, 2),
        ({**MWAA, "version": 3}, 3),
    ],
)
def test_version_of_airflow(keys: dict[str, Any], version: int) -> None:
    assert parse_hosts(json.dumps({ADDRESS: keys}))[ADDRESS].version == version


@pytest.mark.parametrize("text", ["", " \n", "{}"])
def test_parse_hosts_of_none(text: str) -> None:
    assert parse_hosts(text) == {}


def test_parse_hosts_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "hosts.json"
    file.write_text(json.dumps({ADDRESS: AIRFLOW2}))

    assert list(parse_hosts(str(file))) == [ADDRESS]


@pytest.mark.parametrize(
    ("hosts", "fault"),
    [
        (
            "/no/such/file",
            "It is neither a JSON object nor a file that can be read (FileNotFoundError).",
        ),
        ("{", "It can't be read: not JSON: Expecting property name"),
        (f'{{"{ADDRESS}": {{}}, "{ADDRESS}": {{}}}}', "It can't be read: an object has a key twice."),
        ({ADDRESS: AIRFLOW2, f"{ADDRESS}/": AIRFLOW2}, f"{ADDRESS} is there twice."),
        ({"airflow": AIRFLOW2}, "Host 1: its address is no URL such as https://airflow.example.org."),
        ({f"https://{'a' * 250}.org": MWAA}, "Host 1: its address is no URL"),
        ({ADDRESS: []}, "what belongs to it is no JSON object of texts."),
        ({ADDRESS: {**MWAA, "region": 1}}, "what belongs to it is no JSON object of texts."),
        ({ADDRESS: {**MWAA, "region": " "}}, "what belongs to it is no JSON object of texts."),
        ({ADDRESS: {"kind": "airflow4"}}, "its kind is none of airflow2, airflow3, mwaa."),
        ({ADDRESS: {}}, "its kind is none of airflow2, airflow3, mwaa."),
        ({ADDRESS: {"kind": "mwaa"}}, "environment is missing, which mwaa needs."),
        ({ADDRESS: {**MWAA, "version": "3"}}, "its version is neither 2 nor 3."),
        ({ADDRESS: {**MWAA, "version": True}}, "its version is neither 2 nor 3."),
        ({ADDRESS: {**MWAA, "version": [3]}}, "its version is neither 2 nor 3."),
        ({ADDRESS: {**AIRFLOW2, "version": 3}}, "airflow2 has no key 'version'."),
        ({ADDRESS: {**MWAA, "username": "a"}}, "mwaa has no key 'username'."),
        ({ADDRESS: {**AIRFLOW2, "url": "ftp://a"}}, "its url is no URL such as"),
        ({ADDRESS: {**AIRFLOW2, "url": "https://a:b@c"}}, "its url is no URL such as"),
        ({"http://airflow.example.org": AIRFLOW2}, "it would be asked without TLS: the URL must begin"),
        ({ADDRESS: {**AIRFLOW2, "url": "http://10.0.0.1"}}, "it would be asked without TLS"),
        ({ADDRESS: {**AIRFLOW2, "password_file": "/f"}}, "one of password_env and password_file must"),
        ({ADDRESS: {"kind": "airflow3", "username": "a"}}, "one of password_env and password_file must"),
        ({ADDRESS: {**AIRFLOW2, "password_env": "NO_SUCH"}}, "its password is empty (password_env)."),
        ({ADDRESS: {**AIRFLOW2, "username": "avr\udce4m"}}, "its username is no UTF-8."),
        (
            {ADDRESS: {"kind": "airflow2", "username": "a", "password_file": "/no/such"}},
            "its password can't be read: FileNotFoundError (password_file).",
        ),
    ],
)
def test_parse_hosts_says_what_is_wrong(hosts: Any, fault: str) -> None:
    faults = faults_of(hosts)

    assert len(faults) == 1
    assert fault in faults[0]


def test_parse_hosts_password_in_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environb, b"AIRFLOW_PASSWORD", f"{SECRET}\xe4".encode("latin-1"))

    assert faults_of({ADDRESS: AIRFLOW2}) == [f"{ADDRESS}: its password is no UTF-8 (password_env)."]


def test_parse_hosts_says_all_that_is_wrong() -> None:
    faults = faults_of({ADDRESS: {"kind": "airflow2", "password": SECRET}, "b": {"kind": "mwaa"}})

    assert faults == [
        f"{ADDRESS}: username is missing, which airflow2 needs.",
        f"{ADDRESS}: airflow2 has no key 'password': name the variable in password_env.",
        f"{ADDRESS}: one of password_env and password_file must be there.",
        "Host 2: its address is no URL such as https://airflow.example.org.",
        "Host 2: environment is missing, which mwaa needs.",
    ]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080"])
def test_parse_hosts_this_machine_needs_no_tls(url: str) -> None:
    assert parse_hosts(json.dumps({url: AIRFLOW2}))[url].url == url


def test_parse_hosts_debug_needs_no_tls() -> None:
    hosts = json.dumps({"http://airflow.internal": AIRFLOW2})

    assert list(parse_hosts(hosts, debug=True)) == ["http://airflow.internal"]


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f'{{"https://avram:{SECRET}@airflow.example.org": {{"kind": "mwaa"}}}}',
        f'{{"{SECRET}": 1}}',
        json.dumps({ADDRESS: {**AIRFLOW2, "url": f"https://a:{SECRET}@b", "password": SECRET}}),
        json.dumps({ADDRESS: {"kind": SECRET}}),
        json.dumps({ADDRESS: {**AIRFLOW2, "password_env": SECRET}}),
        f'{{"{ADDRESS}": {{"password": "{SECRET}}}',
    ],
)
def test_faults_hold_no_value(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="AIRFLOW_HOSTS: ") as raised:
        parse_airflow_hosts(text, debug=False)

    assert SECRET not in str(raised.value)


def test_hosts_hold_no_password() -> None:
    assert SECRET not in repr(parse_hosts(json.dumps({ADDRESS: AIRFLOW2})))


def test_password_is_read_when_it_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    password = Password(file=str(file))
    file.write_text("new\r\n")

    assert password.read() == "new"
    file.write_text("\n")
    with pytest.raises(Refused, match="empty"):
        password.read()


def test_settings_are_refused_where_they_are_wrong() -> None:
    result = read_settings("AIRFLOW_HOSTS", SECRET_KEY="x", AIRFLOW_HOSTS='{"https://a": {}}')

    assert result.returncode == 1
    assert "AIRFLOW_HOSTS: https://a: its kind is none of airflow2, airflow3, mwaa." in result.stderr
