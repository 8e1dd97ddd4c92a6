"""How `make bench` writes its figures."""

from __future__ import annotations

from bench.figures import Figure, table


def test_small_figure_is_not_written_as_nothing() -> None:
    figures = [Figure("cost of a day", 0.0034, "USD"), Figure("none", 0), Figure("all", 1234.5, "x")]

    assert [line.split()[-2:] for line in table(figures).splitlines()] == [
        ["0.0034", "USD"],
        ["none", "0.00"],
        ["1,234.50", "x"],
    ]
