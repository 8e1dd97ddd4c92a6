from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from harvest.errors import Malformed, MalformedMessage
from harvest.limits import MAX_DEPTH, MAX_DIGITS
from harvest.strictjson import is_storable, mend, read_json
from tests.unit.strategies import any_json, any_text, json_data, storable_text

#: A reader that looks at each character more than a few times never ends with this many.
VERY_LONG = 2_000_000


def refusal(text: str) -> Malformed:
    with pytest.raises(MalformedMessage) as caught:
        read_json(text)
    return caught.value.reason


def test_read_json_plain_data() -> None:
    text = '{"a": [1, -2.5, "three", true, false, null, {}]}'

    assert read_json(text) == {"a": [1, -2.5, "three", True, False, None, {}]}


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "[1,]", "{'a': 1}", "nonsense", '"a', "1 2", "]" * 100, "\ufeff{}"],
    ids=[
        "empty", "blank", "unclosed", "comma", "quotes", "word", "open-string", "two", "closers", "bom",
    ],
)  # fmt: skip
def test_read_json_not_json(text: str) -> None:
    assert refusal(text) is Malformed.NOT_JSON


def test_read_json_not_json_says_where() -> None:
    with pytest.raises(MalformedMessage, match=r"line 1 column 7 \(char 6\)"):
        read_json('{"a": oops}')


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_read_json_constants_of_javascript_are_not_json(constant: str) -> None:
    assert refusal(f'{{"a": {constant}}}') is Malformed.NOT_JSON


@pytest.mark.parametrize(
    "number",
    ["1e400", "-1e400", "1" * 400 + ".0", "1e308", "-1e40", "9e-41", "5e-324"],
    ids=["big", "negative", "long", "finite", "bound", "near-zero", "smallest"],
)
def test_read_json_number_out_of_range(number: str) -> None:
    assert refusal(f"[{number}]") is Malformed.UNREASONABLE


@pytest.mark.parametrize("number", ["1e39", "-9.9e39", "1e-40", "0.0", "-0.0"])
def test_read_json_number_at_the_bound(number: str) -> None:
    assert read_json(number) == float(number)


def test_read_json_number_too_small_is_zero() -> None:
    assert read_json("1e-400") == 0


@pytest.mark.parametrize("sign", ["", "-"], ids=["positive", "negative"])
def test_read_json_integer_of_very_many_digits(sign: str) -> None:
    # Python itself would raise ValueError beyond 4,300 digits.
    assert refusal(sign + "7" * 5000) is Malformed.UNREASONABLE


def test_read_json_integer_at_the_bound() -> None:
    for sign in ("", "-"):
        assert read_json(sign + "7" * MAX_DIGITS) == int(sign + "7" * MAX_DIGITS)
        assert refusal(sign + "7" * (MAX_DIGITS + 1)) is Malformed.UNREASONABLE


def test_read_json_nul_becomes_a_replacement_character() -> None:
    assert read_json(r'{"a\u0000": "b\u0000c"}') == {"a�": "b�c"}


def test_read_json_unpaired_surrogates_become_replacement_characters() -> None:
    assert read_json(r'["\ud83d", "\udcda\ud83d", "x\udfff"]') == ["�", "��", "x�"]
    assert read_json('["\ud83d"]') == ["�"]


def test_read_json_paired_surrogates_are_a_character() -> None:
    assert read_json(r'"\ud83d\udcda"') == "📚"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
def test_read_json_depth_at_the_bound(opening: str, closing: str) -> None:
    at_bound = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH

    assert read_json(at_bound) == json.loads(at_bound)
    assert refusal(f"[{at_bound}]") is Malformed.UNREASONABLE


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000], ids=["arrays", "objects"])
def test_read_json_depth_without_end(text: str) -> None:
    assert refusal(text) is Malformed.UNREASONABLE


def test_read_json_brackets_in_strings_do_not_nest() -> None:
    text = json.dumps(["[" * 1000, '"' + "{" * 1000, "\\" + "[" * 1000])

    assert read_json(text) == json.loads(text)


def test_read_json_breadth_is_no_depth() -> None:
    assert read_json(json.dumps([[]] * 10_000)) == [[]] * 10_000


@pytest.mark.parametrize(
    "text",
    [
        '"' + "\\" * VERY_LONG,
        '"' + '\\"' * VERY_LONG,
        '{"a": "' + "x\\\\" * VERY_LONG,
        '\\"' * VERY_LONG,
        '"x\\' * VERY_LONG,
        "\\" * VERY_LONG + '"',
    ],
    ids=["backslashes", "quotes", "text", "outside", "pieces", "late"],
)
def test_read_json_string_without_end_takes_one_pass(text: str) -> None:
    # Were it more than one, this test would not end before its timeout.
    assert refusal(text) is Malformed.NOT_JSON


def test_mend_leaves_what_is_no_text() -> None:
    assert mend([1, 2.5, None, True, {"a": "\0"}]) == [1, 2.5, None, True, {"a": "�"}]


@given(json_data(storable_text))
@settings(max_examples=100, deadline=None)
def test_read_json_reads_back_what_was_written(data: object) -> None:
    assert read_json(json.dumps(data)) == data


@given(any_text | any_json.map(json.dumps) | any_json.map(lambda data: json.dumps(data)[:-1]))
@settings(max_examples=300, deadline=None)
def test_read_json_raises_nothing_else_and_returns_what_can_be_stored(text: str) -> None:
    try:
        data = read_json(text)
    except MalformedMessage:
        return
    assert mend(data) == data
    assert json.loads(json.dumps(data, allow_nan=False)) == data


@given(any_text)
@settings(max_examples=200, deadline=None)
def test_mend_changes_only_what_cannot_be_stored(text: str) -> None:
    mended = mend(text)

    assert is_storable(mended)
    assert mend(mended) == mended
    assert len(mended) == len(text)
    assert all(new in (old, "�") for old, new in zip(text, mended, strict=True))
    assert (mended == text) == is_storable(text)
