"""Where in a rejected body it goes wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.errors import Malformed
from harvest.whereabouts import Place, find_place
from tests.factories import airflow_event, message, sns_body, sqs_message


def place_of(body: str) -> Place | None:
    return find_place(sqs_message(body))


def test_body_that_stops_to_be_json_has_line_and_column() -> None:
    assert place_of('{"a": 1,\n "b": oops}') == Place(
        Malformed.NOT_JSON, (), 2, 7, before='{"a": 1,\n "b": ', after="oops}"
    )


def test_message_that_stops_to_be_json_is_named_with_its_own_line_and_column() -> None:
    assert place_of(sns_body('{"dag_id": x}')) == Place(
        Malformed.NOT_JSON, ("Message",), 1, 12, before='{"dag_id": ', after="x}"
    )


def test_only_what_is_around_is_shown() -> None:
    place = place_of('["' + "a" * 10_000 + '" ' + "b" * 10_000)

    assert place is not None
    assert (place.line, place.column) == (1, 10_005)
    assert (len(place.before), len(place.after)) == (80, 80)


def test_too_deep_has_a_place() -> None:
    place = place_of("[" * 1000)

    assert place is not None
    assert (place.reason, place.column) == (Malformed.UNREASONABLE, 65)


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ({"dag_id": ...}, ("Message", "dag_id")),
        ({"dag_run_id": 7}, ("Message", "dag_run_id")),
        ({"logical_date": "yesterday"}, ("Message", "logical_date")),
        ({"version": "7"}, ("Message", "version")),
        ({"host": "é"}, ("Message", "host")),
        ({"try_number": "1"}, ("Message", "try_number")),
        ({"map_index": 2**40}, ("Message", "map_index")),
    ],
)
def test_value_that_is_wrong_has_a_path(keys: dict[str, Any], path: tuple[str, ...]) -> None:
    place = find_place(message(**keys))

    assert place is not None
    assert place.path == path
    assert place.line is None


def test_path_of_a_raw_delivery_begins_at_the_event() -> None:
    place = place_of(json.dumps(airflow_event(dag_id=...)))

    assert place == Place(Malformed.MISSING_KEY, ("dag_id",))


def test_path_in_the_envelope() -> None:
    place = place_of(sns_body(airflow_event(), Timestamp="yesterday"))

    assert place == Place(Malformed.BAD_DATE, ("Timestamp",))


@pytest.mark.parametrize("body", ["[]", "7", sns_body([]), json.dumps(airflow_event())])
def test_no_place_where_all_is_well_or_the_whole_is_wrong(body: str) -> None:
    place = place_of(body)

    assert place is None or place.path == ("Message",)


@given(st.text(max_size=40))
def test_any_text_has_a_place_or_none(body: str) -> None:
    place = place_of(body)

    if place is not None and place.line is not None:
        assert (place.before + place.after) in body
