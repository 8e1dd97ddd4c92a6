"""The addresses of Airflow's pages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest.airflow import RunKey
from harvest.airflowpages import is_web_address, log_page, run_page
from tests.factories import HOST
from tests.unit.strategies import any_text

KEY = RunKey(HOST, "harvest_collection", "manual__2026-11-24T05:21:34+00:00")


def test_run_page_of_airflow_2() -> None:
    assert run_page(KEY) == (
        "https://airflow.example.org/dags/harvest_collection/grid"
        "?dag_run_id=manual__2026-11-24T05%3A21%3A34%2B00%3A00&base_date="
    )


def test_log_page_of_airflow_2() -> None:
    assert log_page(KEY, "mapping.map_page", 3) == (
        "https://airflow.example.org/dags/harvest_collection/grid"
        "?dag_run_id=manual__2026-11-24T05%3A21%3A34%2B00%3A00"
        "&task_id=mapping.map_page&map_index=3&tab=logs"
    )


@pytest.mark.parametrize("map_index", [-1, None])
def test_log_page_of_a_task_that_is_not_mapped(map_index: int | None) -> None:
    page = log_page(KEY, "fetching.fetch_collection", map_index)

    assert page is not None
    assert page.endswith("&task_id=fetching.fetch_collection&tab=logs")


def test_pages_of_airflow_3() -> None:
    run = "https://airflow.example.org/dags/harvest_collection/runs/manual__2026-11-24T05%3A21%3A34%2B00%3A00"

    assert run_page(KEY, 3) == run
    assert log_page(KEY, "mapping.map_page", 3, 3) == f"{run}/tasks/mapping.map_page/mapped/3"
    assert log_page(KEY, "fetching.fetch", -1, 3) == f"{run}/tasks/fetching.fetch"
    assert log_page(KEY, "fetching.fetch", None, 3) == f"{run}/tasks/fetching.fetch"


def test_pages_quote_everything() -> None:
    key = RunKey("http://127.0.0.1:8080/base", "a/../b?c#d", "x&y=z\"'<é> +")

    assert run_page(key) == (
        "http://127.0.0.1:8080/base/dags/a%2F..%2Fb%3Fc%23d/grid"
        "?dag_run_id=x%26y%3Dz%22%27%3C%C3%A9%3E+%2B&base_date="
    )
    assert log_page(key, "t&tab=x", 0) == (
        "http://127.0.0.1:8080/base/dags/a%2F..%2Fb%3Fc%23d/grid"
        "?dag_run_id=x%26y%3Dz%22%27%3C%C3%A9%3E+%2B&task_id=t%26tab%3Dx&map_index=0&tab=logs"
    )
    assert log_page(key, "t/?#&", 0, 3) == (
        "http://127.0.0.1:8080/base/dags/a%2F..%2Fb%3Fc%23d"
        "/runs/x%26y%3Dz%22%27%3C%C3%A9%3E%20%2B/tasks/t%2F%3F%23%26/mapped/0"
    )


@pytest.mark.parametrize(
    "host",
    [
        "https://00000000-1111-2222-3333-444444444444.c3.us-west-2.airflow.amazonaws.com",
        "http://localhost:8080",
        "HTTP://EXAMPLE.ORG",
        "http://[::1]:8080",
        "https://example.org/airflow",
    ],
)
def test_host_that_may_be_linked(host: str) -> None:
    assert is_web_address(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "airflow.example.org",
        "//example.org",
        "javascript:alert(1)",
        "javascript://example.org/%0aalert(1)",
        "data:text/html,x",
        "ftp://example.org",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https:example.org",
        "https://user:password@example.org",
        "https://example.org@evil.example",
        'https://example.org"onclick="alert(1)',
        "https://example.org'x",
        "https://example.org/<script>",
        "https://example.org/a b",
        "https://example.org\\@evil.example",
        "https://example.org?x=",
        "https://example.org#x",
        "https://example.org:port",
        "https://example.org:99999",
        "https://[::1",
        "https://exam\nple.org",
        "https://example.org\t",
        " https://example.org",
        "https://\u0430irflow.example.org",
        "https://example.org\x7f",
    ],
    ids=ascii,
)
def test_host_that_is_never_linked(host: str) -> None:
    key = KEY._replace(host=host)

    for version in (2, 3):
        assert run_page(key, version) is None
        assert log_page(key, "mapping.map_page", 1, version) is None


@given(
    any_text | st.sampled_from(["http://", "https://"]).flatmap(lambda s: any_text.map(s.__add__)),
    st.sampled_from([2, 3]),
)
@settings(max_examples=200, deadline=None)
def test_run_page_of_any_host_is_safe_in_an_attribute(host: str, version: int) -> None:
    page = run_page(KEY._replace(host=host), version)

    assert page is None or (
        page.lower().startswith(("http://", "https://")) and not set(page) & set("\"'<> ")
    )
