"""Charts: well-formed, to scale, with nothing that a strict policy would refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.admin import charts
from harvest.admin.charts import Bar, Line

SERIES = (("succeeded", "succeeded"), ("failed", "failed"))
HOSTILE = "<script>alert('x')</script>\"&\N{RIGHT-TO-LEFT OVERRIDE}"
SVG = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))


def bars(*values: tuple[int, int]) -> ElementTree.Element:
    columns = [Bar(f"day {index}", pair) for index, pair in enumerate(values)]
    return parse(charts.stacked_bars("runs", "Runs", "by day", SERIES, columns))


def test_bars_are_stacked_to_scale() -> None:
    succeeded, failed = bars((3, 1)).findall(f"{SVG}rect")

    assert float(succeeded.attrib["height"]) == pytest.approx(
        3 * float(failed.attrib["height"]), abs=0.2
    )
    bottom_of_failed = float(failed.attrib["y"]) + float(failed.attrib["height"])
    assert bottom_of_failed == pytest.approx(float(succeeded.attrib["y"]), abs=0.2)
    assert failed.findtext(f"{SVG}title") == "day 0: 1 failed"


def test_chart_is_told_in_words_too() -> None:
    svg = bars((3, 1))

    assert svg.attrib["role"] == "img"
    assert svg.attrib["aria-labelledby"] == "runs-title runs-desc"
    assert svg.findtext(f"{SVG}title") == "Runs"
    assert svg.findtext(f"{SVG}desc") == "by day"


@pytest.mark.parametrize("values", [(), ((0, 0),), ((0, 0),) * 30])
def test_nothing_is_drawn_as_nothing(values: tuple[tuple[int, int], ...]) -> None:
    assert bars(*values).findall(f"{SVG}rect") == []


def test_lines_go_from_left_to_right_and_stay_inside() -> None:
    line = Line("rikolti-events", ((-0.5, 5), (0.5, 10), (1.0, 0)))
    svg = parse(charts.lines("queues", "Queues", "", [line], [(0, "24 h ago"), (1, "now")], 1))

    (drawn,) = svg.findall(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in drawn.attrib["points"].split()]
    assert [x for x, _ in points] == [charts.LEFT, 262.0, charts.WIDTH - charts.RIGHT]
    assert points[1][1] == charts.TOP


def test_line_breaks_where_nothing_was_read() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    readings = [(now - timedelta(minutes=minutes), minutes) for minutes in (120, 65, 60, 10, 5, 0)]

    svg = parse(charts.depths("queues", "Queues", {"rikolti-events": readings}, now))

    drawn = [line.attrib["points"].split() for line in svg.findall(f"{SVG}polyline")]
    assert [len(points) for points in drawn] == [2, 2, 3]  # that of one reading is a dot
    assert drawn[-1][-1] == f"{charts.WIDTH - charts.RIGHT:.1f},{charts.HEIGHT - charts.BOTTOM:.1f}"
    assert svg.findtext(f"{SVG}desc") == "rikolti-events: 0 wait, 120 at most"


def test_line_without_points_is_none() -> None:
    svg = parse(charts.lines("queues", "Queues", "", [Line("rikolti-events", ())], [], 1))

    assert svg.findall(f"{SVG}polyline") == []


def test_strings_are_text_and_there_is_neither_style_nor_script() -> None:
    svg = charts.stacked_bars("a", HOSTILE, HOSTILE, [("x", HOSTILE)], [Bar(HOSTILE, (1,))])
    svg += charts.lines("b", HOSTILE, HOSTILE, [Line(HOSTILE, ((0, 1),))], [(0, HOSTILE)], 1)

    assert "<script" not in svg
    assert "style=" not in svg
    parse(f"<svg>{svg}</svg>")


@given(st.integers(0, 10**9))
def test_axis_ends_at_a_round_number_not_far_above(value: int) -> None:
    top = charts.ceiling(value)

    assert max(value, 2) <= top <= max(2.5 * value, 2)
    assert top % 2 == 0


def test_numbers_of_an_axis_are_short_and_exact() -> None:
    assert [charts.short(value) for value in (0, 2, 500, 1_000, 5_000, 200_000, 10_000_000)] == [
        "0", "2", "500", "1k", "5k", "200k", "10M",
    ]  # fmt: skip


def test_axes_grow_with_their_values() -> None:
    tops = [charts.ceiling(value) for value in range(1, 5_000)]

    assert all(one <= other for one, other in pairwise(tops))
