from __future__ import annotations

import json
import tracemalloc
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest.airflow import (
    Event,
    Outcome,
    RunKey,
    decode_conf,
    find_collection_id,
    find_target_version,
    find_version,
    make_conf,
    parse_event,
)
from harvest.errors import Malformed, MalformedMessage
from harvest.limits import MAX_HOST, MAX_ID, MAX_INTEGER, MAX_REPR
from harvest.sns import SqsMessage, parse_notification
from harvest.strictjson import is_storable
from tests.factories import (
    HOST,
    START,
    airflow_event,
    complete,
    event,
    failed,
    message,
    sns_body,
    sqs_message,
    task_error,
)
from tests.unit.strategies import any_text, bodies, json_data, storable_text


def parse(received: SqsMessage) -> Event:
    return parse_event(parse_notification(received))


def refusal(**keys: Any) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        event(**keys)
    return caught.value


# --- The event ------------------------------------------------------------------------------------


def test_parse_event_of_a_task() -> None:
    received = event(
        message_id="cf997318-27c5-5dcb-93b2-5a1a9d8e8f0c",
        dag_id="harvest_collection",
        dag_run_id="manual__2026-11-24T05:21:34+00:00",
        logical_date="2026-11-24T06:21:34+01:00",
        dag_run_conf={"collection_id": "27551"},
        host="https://airflow.example.org",
        task_id="mapping.map_page",
        try_number=2,
        map_index=3,
        rikolti_message={"content_harvest_success": True},
    )

    assert received.message_id == "cf997318-27c5-5dcb-93b2-5a1a9d8e8f0c"
    assert received.sns_timestamp == START
    assert received.key == RunKey(
        "https://airflow.example.org", "harvest_collection", "manual__2026-11-24T05:21:34+00:00"
    )
    assert received.logical_date == datetime(2026, 11, 24, 5, 21, 34, tzinfo=UTC)
    assert received.dag_run_conf == {"collection_id": "27551"}
    assert received.collection_id == 27551
    assert (received.task_id, received.try_number, received.map_index) == ("mapping.map_page", 2, 3)
    assert received.rikolti_message == {"content_harvest_success": True}
    assert not received.dag_level
    assert not received.error
    assert received.outcome is Outcome.RUNNING


def test_parse_event_keeps_the_envelope() -> None:
    assert event().envelope["Signature"] == "c2lnbmF0dXJl"


def test_parse_event_delivered_raw() -> None:
    raw = sqs_message(json.dumps(airflow_event(task_id="map_page")), message_id="4f338efd")

    received = parse(raw)

    assert received.message_id == "4f338efd"
    assert received.sns_timestamp == START
    assert received.task_id == "map_page"
    assert received.envelope == {}


def test_parse_event_with_keys_of_a_later_publisher() -> None:
    assert event(properties={"a": 1}, operator="MapOperator").task_id == "fetching.fetch_collection"


# --- version --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.0", 1.0, None, ...], ids=["string", "number", "null", "absent"])
def test_version_known(version: object) -> None:
    assert event(version=version).key.dag_id == "harvest_collection"


@pytest.mark.parametrize(
    "version", ["2.0", "1.1", 2.0, 1.1, 0, "", "one", True, False, [], {}], ids=repr
)
def test_version_unknown(version: object) -> None:
    assert refusal(version=version).reason is Malformed.UNKNOWN_VERSION


# --- What must be there ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [..., None, ""], ids=["absent", "null", "empty"])
@pytest.mark.parametrize("key", ["dag_id", "dag_run_id", "logical_date"])
def test_required_key_missing(key: str, value: object) -> None:
    error = refusal(**{key: value})

    assert error.reason is Malformed.MISSING_KEY
    assert error.detail == f"{key} is missing"


@pytest.mark.parametrize("value", [1, 1.5, True, [], {"a": 1}, ["x"]], ids=repr)
@pytest.mark.parametrize("key", ["dag_id", "dag_run_id", "logical_date", "host", "task_id"])
def test_string_of_another_type(key: str, value: object) -> None:
    assert refusal(**{key: value}).reason is Malformed.WRONG_TYPE


@pytest.mark.parametrize("key", ["dag_id", "dag_run_id", "task_id"])
def test_identifier_at_the_bound(key: str) -> None:
    longest = "é" * MAX_ID
    received = event(**{key: longest})

    assert longest in (*received.key, received.task_id)
    assert refusal(**{key: longest + "x"}).reason is Malformed.BAD_STRING


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"], ids=["nul", "surrogate"])
@pytest.mark.parametrize("key", ["dag_id", "dag_run_id", "task_id", "host"])
def test_identifier_that_is_no_text(key: str, text: str) -> None:
    # Mended it might be the identifier of something else.
    assert refusal(**{key: text}).reason is Malformed.BAD_STRING


@pytest.mark.parametrize(
    "date",
    [
        "2026-11-24T05:21:34",
        "2026-11-24",
        "2026-02-30T05:21:34+00:00",
        "2026-11-24T05:21:60+00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "24 November 2026",
        "\0",
    ],
    ids=["naive", "day", "february", "second-60", "year-1", "year-9999", "words", "nul"],
)
def test_logical_date_bad(date: str) -> None:
    assert refusal(logical_date=date).reason is Malformed.BAD_DATE


@pytest.mark.parametrize(
    "date",
    ["2026-11-24T05:21:34.000000+00:00", "2026-11-24T05:21:34Z", "2026-11-23T21:21:34-08:00"],
    ids=["microseconds", "zulu", "pacific"],
)
def test_logical_date_of_any_offset_is_read_in_utc(date: str) -> None:
    logical_date = event(logical_date=date).logical_date

    assert logical_date == START
    assert logical_date.tzinfo is UTC


# --- dag_run_conf ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conf", "decoded"),
    [
        ({"collection_id": "27551"}, {"collection_id": "27551"}),
        ("{'collection_id': '27551'}", {"collection_id": "27551"}),
        ('{"collection_id": "27551"}', {"collection_id": "27551"}),
        ("{'limit': None, 'force': True}", {"limit": None, "force": True}),
        ('{"limit": null, "force": true}', {"limit": None, "force": True}),
        ("{'name': \"O'Neill\"}", {"name": "O'Neill"}),
        ("{'pages': (1, 2)}", {"pages": [1, 2]}),
        (None, {}),
        (..., {}),
        ("", {}),
        ({}, {}),
        ("{}", {}),
        ("null", {}),
        ("None", {}),
    ],
    ids=[
        "object", "repr", "json", "repr-constants", "json-constants", "repr-quotes", "repr-tuple",
        "null", "absent", "empty-string", "empty-object", "json-empty", "json-null", "repr-none",
    ],
)  # fmt: skip
def test_dag_run_conf_decoded(conf: object, decoded: object) -> None:
    assert event(dag_run_conf=conf).dag_run_conf == decoded


@pytest.mark.parametrize(
    "conf",
    [
        "no conf at all",
        "{'collection_id': ",
        "{'a': b}",
        "{'a': {1, 2}}",
        "{(1, 2): 3}",
        "{'a': b'bytes'}",
        "{'a': 1j}",
        "{'a': ...}",
        "{'a': 1e999}",
        '{"a": NaN}',
        "{'a': " + "7" * 5000 + "}",
        "{'a': 0x" + "f" * 5000 + "}",
        "[" * 5000,
        "[" * 150 + "]" * 150,
        "-" * 9000 + "1",
        "1" + "+1" * 4000,
        "lambda: 1",
        "{**{}}",
        "'a' * 10 ** 10",
        "a\nb",
    ],
    ids=[
        "words", "open", "name", "set", "tuple-key", "bytes", "complex", "ellipsis", "infinity", "nan",
        "digits", "hex-digits", "deep", "deep-closed", "minus", "plus", "lambda", "stars", "product",
        "lines",
    ],
)  # fmt: skip
def test_dag_run_conf_that_is_neither_stays_a_string(conf: str) -> None:
    assert event(dag_run_conf=conf).dag_run_conf == conf


def test_dag_run_conf_repr_at_the_bound() -> None:
    def repr_of_length(length: int) -> str:
        return "{'a': '" + "x" * (length - 9) + "'}"

    assert event(dag_run_conf=repr_of_length(MAX_REPR)).dag_run_conf == {"a": "x" * (MAX_REPR - 9)}
    too_long = repr_of_length(MAX_REPR + 1)
    assert event(dag_run_conf=too_long).dag_run_conf == too_long


def test_dag_run_conf_of_json_may_be_long() -> None:
    conf = {"a": "x" * (2 * MAX_REPR)}

    assert event(dag_run_conf=json.dumps(conf)).dag_run_conf == conf


def test_dag_run_conf_is_never_evaluated(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    attacks = [
        f"__import__('os').system('touch {evidence}')",
        f"{{'a': __import__('pathlib').Path('{evidence}').touch()}}",
        f"[open('{evidence}', 'w') for _ in (1,)]",
        f"f\"{{open('{evidence}', 'w')}}\"",
        f"{{'a': eval(\"open('{evidence}', 'w')\")}}",
    ]

    assert [event(dag_run_conf=attack).dag_run_conf for attack in attacks] == attacks
    assert not evidence.exists()


def test_dag_run_conf_nul_and_surrogates_are_mended() -> None:
    assert event(dag_run_conf={"a\0": "\ud800"}).dag_run_conf == {"a�": "�"}
    assert event(dag_run_conf=r"{'a': '\x00\ud800'}").dag_run_conf == {"a": "��"}


@pytest.mark.parametrize("conf", [[1, 2], 5, 1.5, True], ids=repr)
def test_dag_run_conf_of_another_type_is_kept(conf: object) -> None:
    received = event(dag_run_conf=conf)

    assert received.dag_run_conf == conf
    assert received.collection_id is None


@pytest.mark.parametrize(
    "text", ["1if 1else 2", "0x1for x in y", "'\\d'", "(1).a", "r'x'", "f(1)", "1 is 2", "[1_000]"]
)
def test_decode_conf_keeps_text_that_python_would_warn_of(text: str) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert decode_conf(text) == text
    assert warned == []


@given(json_data(storable_text).filter(lambda conf: conf is not None and not isinstance(conf, str)))
@settings(max_examples=100, deadline=None)
def test_decode_conf_reads_every_form_of_the_same_conf(conf: object) -> None:
    assert decode_conf(conf) == conf
    assert decode_conf(json.dumps(conf)) == conf
    assert decode_conf(repr(conf)) == conf


@given(any_text | st.sampled_from(["null", " null", "None", "\tNone"]))
@settings(max_examples=200, deadline=None)
def test_decode_conf_never_raises_and_never_returns_none(conf: str) -> None:
    assert decode_conf(conf) is not None


# --- The collection's id --------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["27551", 27551, " 27551 ", "0027551", "\x1c27551\x1f"], ids=ascii)
def test_find_collection_id_of_a_conf(value: object) -> None:
    assert find_collection_id({"collection_id": value}) == 27551


@pytest.mark.parametrize(
    "value",
    [None, "", "x", "27551x", "-1", "+1", "1.0", 0, "0", -1, 1.0, True, [27551], {"id": 1}, "²", "٣"],
    ids=ascii,
)
def test_find_collection_id_of_no_id(value: object) -> None:
    assert find_collection_id({"collection_id": value}) is None


def test_find_collection_id_at_the_bound() -> None:
    assert find_collection_id({"collection_id": MAX_INTEGER}) == MAX_INTEGER
    assert find_collection_id({"collection_id": str(MAX_INTEGER)}) == MAX_INTEGER
    assert find_collection_id({"collection_id": MAX_INTEGER + 1}) is None
    assert find_collection_id({"collection_id": str(MAX_INTEGER + 1)}) is None
    assert find_collection_id({"collection_id": "9" * 5000}) is None


@pytest.mark.parametrize("conf", [{}, [], "27551", 27551, None, {"limit": "3"}], ids=repr)
def test_find_collection_id_of_a_conf_that_names_none(conf: object) -> None:
    assert find_collection_id(conf) is None


# --- host -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [..., None, ""], ids=["absent", "null", "empty"])
def test_host_unknown(host: object) -> None:
    assert event(host=host).key.host == ""


@pytest.mark.parametrize("host", [f"{HOST}/", f" {HOST}", f"{HOST}//\n"], ids=repr)
def test_host_is_one_however_it_is_written(host: str) -> None:
    assert event(host=host).key == event(host=HOST).key


def test_host_at_the_bound() -> None:
    longest = "https://" + "h" * (MAX_HOST - 8)

    assert event(host=longest).key.host == longest
    assert refusal(host=longest + "h").reason is Malformed.BAD_STRING


def test_host_of_characters_that_no_address_has() -> None:
    assert refusal(host="https://\u0430irflow.example.org").reason is Malformed.BAD_STRING


def test_host_that_is_no_address_is_kept() -> None:
    assert event(host="javascript:alert(1)").key.host == "javascript:alert(1)"


# --- rikolti_message ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"records_with_children": None}, {"records_with_children": None}),
        ([{"status": "success"}], [{"status": "success"}]),
        ("27551/mapped_metadata_2026/", "27551/mapped_metadata_2026/"),
        ('{"a": 1}', {"a": 1}),
        (' \n[{"a": 1}] ', [{"a": 1}]),
        ("5", "5"),
        ("1.5", "1.5"),
        ("true", "true"),
        ("null", "null"),
        ('"quoted"', '"quoted"'),
        ("{broken", "{broken"),
        ("[1] and more", "[1] and more"),
        ("{'a': 1}", "{'a': 1}"),
        ('{"a": NaN}', '{"a": NaN}'),
        ("[" * 1000 + "]" * 1000, "[" * 1000 + "]" * 1000),
        ("", ""),
        (5, 5),
        (True, True),
        (None, None),
        (..., None),
    ],
    ids=[
        "object", "array", "path", "json-object", "json-array", "json-integer", "json-number",
        "json-true", "json-null", "json-string", "broken", "trailing", "repr", "nan", "deep", "empty",
        "number", "true", "null", "absent",
    ],
)  # fmt: skip
def test_rikolti_message_decoded(sent: object, stored: object) -> None:
    assert event(rikolti_message=sent).rikolti_message == stored


def test_rikolti_message_nul_and_surrogates_are_mended() -> None:
    received = event(rikolti_message={"traceback": "a\0b\ud800", "k\0": ["\udfff"]})

    assert received.rikolti_message == {"traceback": "a�b�", "k�": ["�"]}


def test_rikolti_message_nul_and_surrogates_in_json_in_a_string_are_mended() -> None:
    assert event(rikolti_message=r'{"a": "\u0000\ud800"}').rikolti_message == {"a": "��"}


def test_rikolti_message_of_256_kb_is_kept_whole() -> None:
    traceback = 'File "page.py", line 1\n' * 11_000

    assert event(rikolti_message={"error": True, "traceback": traceback}).rikolti_message == {
        "error": True,
        "traceback": traceback,
    }


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_number_that_is_no_json_is_refused(number: str) -> None:
    content = json.dumps(airflow_event()).replace('"1.0"', f'"1.0", "x": {number}')

    with pytest.raises(MalformedMessage) as caught:
        parse(sqs_message(sns_body(content)))

    assert caught.value.reason is Malformed.NOT_JSON


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5000], ids=["big", "small", "digits"])
def test_number_out_of_range_is_refused(number: str) -> None:
    content = json.dumps(airflow_event()).replace('"1.0"', f'"1.0", "x": {number}')

    with pytest.raises(MalformedMessage) as caught:
        parse(sqs_message(sns_body(content)))

    assert caught.value.reason is Malformed.UNREASONABLE


# --- error and outcome: the status rule -----------------------------------------------------------


@pytest.mark.parametrize(
    ("rikolti_message", "outcome"),
    [
        ({"error": True, "exception": "KeyError", "traceback": "…"}, Outcome.FAILED),
        ({"error": "words"}, Outcome.FAILED),
        ({"error": 0}, Outcome.FAILED),
        ({"error": ""}, Outcome.FAILED),
        ({"error": {}}, Outcome.FAILED),
        ({"dag_complete": False, "error": True, "reason": "timed_out"}, Outcome.FAILED),
        ({"dag_complete": False}, Outcome.FAILED),
        ({"dag_complete": False, "error": None}, Outcome.FAILED),
        ({"dag_complete": True, "error": True}, Outcome.FAILED),
        ('{"error": true}', Outcome.FAILED),
        ({"dag_complete": True}, Outcome.SUCCEEDED),
        ({"dag_complete": True, "error": False}, Outcome.SUCCEEDED),
        ({"dag_complete": True, "error": None}, Outcome.SUCCEEDED),
        ('{"dag_complete": true}', Outcome.SUCCEEDED),
        ({"error": False}, Outcome.RUNNING),
        ({"error": None}, Outcome.RUNNING),
        ({"dag_complete": None}, Outcome.RUNNING),
        ({"dag_complete": "true"}, Outcome.RUNNING),
        ({"dag_complete": 1}, Outcome.RUNNING),
        ({"dag_complete": 0}, Outcome.RUNNING),
        ({"content_harvest_success": False}, Outcome.RUNNING),
        ({"nested": {"error": True, "dag_complete": True}}, Outcome.RUNNING),
        ("an error occurred: dag_complete", Outcome.RUNNING),
        (["error", "dag_complete"], Outcome.RUNNING),
        ([{"error": True}, {"dag_complete": True}], Outcome.RUNNING),
        ('["error"]', Outcome.RUNNING),
        ({}, Outcome.RUNNING),
        (None, Outcome.RUNNING),
        (5, Outcome.RUNNING),
    ],
    ids=str,
)
def test_outcome_by_the_rule(rikolti_message: object, outcome: Outcome) -> None:
    assert event(rikolti_message=rikolti_message).outcome is outcome


@pytest.mark.parametrize(
    ("rikolti_message", "error"),
    [
        ({"error": True}, True),
        ({"error": "words"}, True),
        ({"error": False}, False),
        ({"error": None}, False),
        ({"dag_complete": False}, False),
        ("error", False),
        (["error"], False),
        ([{"error": True}], False),
        ({"errors": ["x"]}, False),
    ],
    ids=str,
)
def test_error_is_only_a_key_of_an_object(rikolti_message: object, error: bool) -> None:
    assert event(rikolti_message=rikolti_message).error is error


# --- Events of the run as a whole -----------------------------------------------------------------


@pytest.mark.parametrize("received", [complete(), failed()], ids=["complete", "failed"])
def test_dag_level_event_belongs_to_no_task(received: SqsMessage) -> None:
    dag_level = parse(received)

    assert dag_level.dag_level
    assert (dag_level.task_id, dag_level.try_number, dag_level.map_index) == (None, None, None)


@pytest.mark.parametrize("stray", [["x"], {"a": 1}, True, "x" * 1000, 1.5, 10**30, "\0"], ids=ascii)
def test_dag_level_event_may_carry_any_nonsense_of_a_task(stray: object) -> None:
    dag_level = parse(complete(task_id=stray, try_number=stray, map_index=stray))

    assert (dag_level.task_id, dag_level.try_number, dag_level.map_index) == (None, None, None)


def test_failed_task_is_still_a_task() -> None:
    error = parse(task_error(task_id="mapping.map_page", map_index=2, try_number=3))

    assert not error.dag_level
    assert (error.task_id, error.try_number, error.map_index) == ("mapping.map_page", 3, 2)


# --- task_id, try_number, map_index ---------------------------------------------------------------


@pytest.mark.parametrize("value", [..., None], ids=["absent", "null"])
@pytest.mark.parametrize("key", ["task_id", "try_number", "map_index"])
def test_optional_key_missing(key: str, value: object) -> None:
    assert getattr(event(**{key: value}), key) is None


@pytest.mark.parametrize("value", [0, -1, 1, MAX_INTEGER, -MAX_INTEGER])
@pytest.mark.parametrize("key", ["try_number", "map_index"])
def test_integer_in_range(key: str, value: int) -> None:
    assert getattr(event(**{key: value}), key) == value


@pytest.mark.parametrize(
    "value", [True, False, "1", 1.0, 1.5, [], {}, MAX_INTEGER + 1, -MAX_INTEGER - 1, 10**30], ids=repr
)
@pytest.mark.parametrize("key", ["try_number", "map_index"])
def test_integer_of_another_type_or_out_of_range(key: str, value: object) -> None:
    assert refusal(**{key: value}).reason is Malformed.WRONG_TYPE


# --- Laws -----------------------------------------------------------------------------------------


@given(bodies)
@settings(max_examples=400, deadline=None)
def test_parse_raises_nothing_else_and_returns_what_can_be_stored(body: str) -> None:
    try:
        received = parse(sqs_message(body))
    except MalformedMessage:
        return

    stored = [*received.key, received.task_id, received.dag_run_conf, received.rikolti_message]
    stored += [received.message_id, received.envelope]
    assert is_storable(json.dumps(stored, ensure_ascii=False, allow_nan=False))
    assert received.dag_run_conf is not None
    assert received.sns_timestamp.tzinfo is UTC
    assert received.logical_date.tzinfo is UTC
    for number in (received.collection_id, received.try_number, received.map_index):
        assert number is None or -(2**31) < number < 2**31


@given(json_data(storable_text))
@settings(max_examples=100, deadline=None)
def test_parse_keeps_what_rikolti_sent_as_it_was(sent: object) -> None:
    received = event(rikolti_message={"sent": sent}, dag_run_conf={"sent": sent})

    assert received.rikolti_message == received.dag_run_conf == {"sent": sent}


def test_parse_event_of_a_mapped_page() -> None:
    received = parse(
        message(
            task_id="mapping.map_page",
            map_index=2,
            try_number=2,
            rikolti_message=[
                {
                    "status": "success",
                    "num_mapped_records": 4,
                    "page_exceptions": {},
                    "mapped_page_path": "27551/vernacular_metadata_2026/mapped_metadata_2026/data/2",
                }
            ],
        )
    )

    assert received.outcome is Outcome.RUNNING
    assert received.rikolti_message[0]["num_mapped_records"] == 4


@pytest.mark.parametrize(
    "item", ["[]", "{}", '{"":0}', "[" * 60 + "]" * 60], ids=["list", "object", "key", "nest"]
)
def test_memory_for_a_message_is_at_most_a_hundred_times_its_size(item: str) -> None:
    many = "[" + ",".join([item] * (100_000 // len(item))) + "]"
    large = message(rikolti_message=json.loads(many))
    tracemalloc.start()
    try:
        parse_event(parse_notification(large))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak <= 100 * len(large.body)


# --- Versions -------------------------------------------------------------------------------------

VERNACULAR = "27551/vernacular_metadata_2026-11-24T05:21:45/"
MAPPED = f"{VERNACULAR}mapped_metadata_2026-11-24T05:22:03/"


@pytest.mark.parametrize(
    ("message", "version"),
    [
        ({"vernacular_version": VERNACULAR}, VERNACULAR),
        ({"vernacular_version": VERNACULAR, "mapped_version": MAPPED}, MAPPED),
        (MAPPED, MAPPED),
        (MAPPED.rstrip("/"), MAPPED.rstrip("/")),
        (f"{MAPPED}data/1.jsonl", ""),
        ({"mapped_page_path": f"{MAPPED}data/1.jsonl"}, ""),
        ({"path": MAPPED}, ""),
        ([{"mapped_version": MAPPED}], ""),
        ({"mapped_version": None, "other_version": 3}, ""),
        ("done", ""),
        (f"../{MAPPED}", ""),
        (f"{VERNACULAR}{'x' * 250}", ""),
        ({"mapped_version": f"{MAPPED}<script>"}, ""),
        (None, ""),
    ],
)
def test_find_version(message: Any, version: str) -> None:
    assert find_version(message) == version
    assert event(rikolti_message=message).version == version


@pytest.mark.parametrize(
    ("dag_id", "conf", "version"),
    [
        ("publish_collection", {"collection_id": "1", "version": MAPPED}, MAPPED),
        ("publish_collection", {"version": f" {MAPPED} "}, MAPPED),
        ("publish_collection", {"collection_id": "1"}, None),
        ("publish_collection", {"version": ""}, None),
        ("publish_collection", {"version": 3}, None),
        ("publish_collection", {"version": "x" * 256}, None),
        ("publish_collection", "text", None),
        ("unpublish_collection", {"version": MAPPED}, ""),
        ("unpublish_collection", {}, ""),
        ("harvest_collection", {"version": MAPPED}, None),
    ],
)
def test_find_target_version(dag_id: str, conf: Any, version: str | None) -> None:
    assert find_target_version(dag_id, conf) == version


def test_make_conf_is_what_parsing_finds() -> None:
    conf = make_conf("publish_collection", 27551, MAPPED)

    assert conf == {"collection_id": "27551", "version": MAPPED}
    assert find_collection_id(conf) == 27551
    assert find_target_version("publish_collection", conf) == MAPPED
    assert make_conf("harvest_collection", 27551) == {"collection_id": "27551"}
