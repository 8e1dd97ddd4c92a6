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


def test_goal_that_is_not_met_says_why_once() -> None:
    slow = Figure("slow", 3, "x", at_most=2, why="slow: a quicker machine would do")
    slower = Figure("slower", 4, "x", at_most=2, why=slow.why)
    quick = Figure("quick", 1, "x", at_most=2, why="nobody wants to know")

    said = table([slow, quick, slower]).splitlines()

    assert [line.partition("2  ")[2] for line in said[:3]] == ["NOT MET", "met", "NOT MET"]
    assert said[3:] == ["", "slow: a quicker machine would do"]
