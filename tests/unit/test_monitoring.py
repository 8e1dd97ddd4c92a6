"""The files of docs/monitoring: valid, naming only what there is, with a runbook for each alert."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client import Counter, Histogram

from avram.environment import ROOT
from harvest import exposition, gauges, metrics

FOLDER = ROOT / "docs" / "monitoring"

#: Labels that Prometheus adds to what it scrapes.
OF_PROMETHEUS = {"job", "instance"}

#: Of Grafana's own variables, one that stands for a duration.
GRAFANAS = {"$__rate_interval": "5m"}


def known() -> dict[str, tuple[str, set[str]]]:
    """Return type and labels of all metrics that are told, by the name in the table."""
    found = {}
    for metric in metrics.REGISTRY._collector_to_names:
        assert isinstance(metric, Counter | Histogram)
        kind = metric._type
        name = f"{metric._name}_total" if kind == "counter" else metric._name
        found[name] = (kind, set(metric._labelnames))
    found[gauges.DATABASE_UP[0]] = ("gauge", set())
    for family in exposition.Build().collect():
        found[family.name] = (family.type, set(family.samples[0].labels))
    return found | {name: ("gauge", set(labels)) for name, (_, labels) in gauges.GAUGES.items()}


KNOWN = known()

#: All names that can be asked for, with their labels.
SERIES = {name: labels for name, (_, labels) in KNOWN.items()} | {"up": set[str]()}
for _name, (_kind, _labels) in KNOWN.items():
    if _kind == "histogram":
        SERIES |= {
            f"{_name}_bucket": {*_labels, "le"},
            f"{_name}_sum": _labels,
            f"{_name}_count": _labels,
        }

RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
TARGETS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in RULES] + TARGETS


def parts(expression: Any) -> Iterator[Any]:
    """Yield an expression and all that are in it."""
    yield expression
    inner = (
        getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector")
    )
    for one in (*inner, *(getattr(expression, "args", None) or ())):
        if isinstance(one, promql.Expr):
            yield from parts(one)


def parsed(text: str) -> Any:
    for variable, value in GRAFANAS.items():
        text = text.replace(variable, value)
    return promql.parse(text)


@pytest.mark.parametrize(("name", "text"), EXPRESSIONS, ids=lambda value: value.replace(" ", "_")[:60])
def test_expression_asks_for_what_there_is(name: str, text: str) -> None:
    expression = parsed(text)
    selectors = [one for one in parts(expression) if isinstance(one, promql.VectorSelector)]

    assert selectors
    asked = set()
    for selector in selectors:
        assert selector.name in SERIES, f"{name} asks for {selector.name}"
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= SERIES[selector.name] | OF_PROMETHEUS
        asked |= SERIES[selector.name]
    for aggregate in (one for one in parts(expression) if isinstance(one, promql.AggregateExpr)):
        if aggregate.modifier is not None:
            assert set(aggregate.modifier.labels) <= asked | OF_PROMETHEUS


@pytest.mark.parametrize(("name", "text"), EXPRESSIONS, ids=lambda value: value.replace(" ", "_")[:60])
def test_values_of_labels_are_those_that_there_are(name: str, text: str) -> None:
    values = {
        sample.labels[label]: None
        for metric in metrics.REGISTRY.collect()
        for sample in metric.samples
        for label in sample.labels
    }.keys() | {
        "succeeded", "retried", "failed",  # of tasks
        "running", "beat", "worker", "consumer", "alive", "silent", "queue", "dead_letters", "waiting",
        "in_flight", "avram-web", "avram-worker",
    }  # fmt: skip

    for selector in (one for one in parts(parsed(text)) if isinstance(one, promql.VectorSelector)):
        for matcher in selector.matchers.matchers:
            assert set(matcher.value.split("|")) <= values, name


@pytest.mark.parametrize(("name", "text"), EXPRESSIONS, ids=lambda value: value.replace(" ", "_")[:60])
def test_counters_are_asked_for_their_growth_and_gauges_for_one_of_all_webs(
    name: str, text: str
) -> None:
    for call in parts(parsed(text)):
        if isinstance(call, promql.Call) and call.func.name in ("rate", "increase"):
            assert call.args[0].vector_selector.name.endswith(("_total", "_bucket", "_sum", "_count"))
    names = [one.name or "" for one in parts(parsed(text)) if isinstance(one, promql.VectorSelector)]
    if any(name.endswith(("_total", "_bucket")) for name in names):
        assert "rate(" in text or "increase(" in text
    if any(KNOWN[name][0] == "gauge" for name in names if name in KNOWN):
        assert re.search(r"\b(max|min)\b", text), "each web tells the same"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rule_is_one_that_prometheus_takes(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Avram([A-Z][a-z]+)+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "runbook_url"}
    labels = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
    grouped = [
        label
        for one in parts(parsed(rule["expr"]))
        if isinstance(one, promql.AggregateExpr) and one.modifier is not None
        for label in one.modifier.labels
    ]
    assert set(labels) <= set(grouped)


def test_each_alert_has_its_place_in_the_runbook_and_nothing_else_has() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    chapters = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", runbook, re.DOTALL | re.MULTILINE))

    assert list(chapters) == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    for chapter in chapters.values():
        words = re.findall(r"^- \*\*(.*):\*\*", chapter, re.MULTILINE)
        assert words == ["Means", "People see", "Look", "Do", "Over"]
    anchors = set(re.findall(r"\(#(\w+)\)", runbook))
    assert anchors <= {name.lower() for name in chapters}


def test_metrics_that_alerts_and_dashboard_leave_out_are_few() -> None:
    asked = {
        selector.name
        for _, text in EXPRESSIONS
        for selector in parts(parsed(text))
        if isinstance(selector, promql.VectorSelector)
    }

    assert {name for name in KNOWN if name not in asked and f"{name}_bucket" not in asked} == set()


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("AvramTasksFailing", 'avram_tasks_total{outcome="failed"}[30m])) > 0'),
        ("AvramRunsSentNothing", "avram_silent_runs_total"),
        ("AvramNoEvents", "avram_newest_event_age_seconds"),
        ("AvramProcessSilent", 'state="silent"'),
        ("AvramNobodyIsTold", "avram_run_change_longest_wait_seconds"),
        ("AvramNobodyIsTold", "avram_notice_longest_overdue_seconds"),
        ("AvramRejectedTrickle", "avram_messages_rejected_total[24h]))"),
    ],
)
def test_what_goes_wrong_quietly_has_an_alert(name: str, asked: str) -> None:
    """Nothing fails where events don't come, one process of several hangs, or nobody is told."""
    assert [rule["alert"] for rule in RULES if rule["alert"] == name and asked in rule["expr"]]


def test_counts_that_stop_are_not_drawn_for_what_only_grows() -> None:
    """A count of runs that ended would be a flat line from some day on."""
    drawn = [
        matcher.value
        for _, text in TARGETS
        for selector in parts(parsed(text))
        if isinstance(selector, promql.VectorSelector) and selector.name == "avram_runs"
        for matcher in selector.matchers.matchers
    ]

    assert set(drawn) == {"running"}
    assert len(drawn) == sum("avram_runs{" in text or "(avram_runs)" in text for _, text in TARGETS)


def test_prometheus_asks_web_and_workers_with_the_token_and_reads_the_alerts() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())

    assert config["rule_files"] == ["alerts.yml"]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert jobs.keys() == {"avram-web", "avram-worker"}
    for job in jobs.values():
        assert job["authorization"].keys() == {"credentials_file"}  # of type Bearer
        assert job.get("metrics_path", "/metrics") == "/metrics"
        assert all(re.fullmatch(r"[\w.-]+:\d+", one) for one in job["static_configs"][0]["targets"])


def test_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())

    assert dashboard.keys() >= {"uid", "title", "schemaVersion", "panels", "templating", "time"}
    assert "id" not in dashboard  # which Grafana gives
    assert [variable["type"] for variable in dashboard["templating"]["list"]] == ["datasource"]
    assert (
        len({panel["id"] for panel in PANELS})
        == len({panel["title"] for panel in PANELS})
        == len(PANELS)
    )
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["type"] in ("stat", "timeseries")
        assert panel["targets"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert taken.isdisjoint(cells), f"{panel['title']} covers another"
        taken |= cells


def test_table_of_metrics_is_what_is_told() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.+) \|$",
        (ROOT / "docs" / "metrics.md").read_text(),
        re.MULTILINE,
    )

    assert {
        name: (kind, set(re.findall(r"\w+", labels)) - {"none"}) for name, kind, labels, _ in rows
    } == KNOWN
    assert len(rows) == len(KNOWN)
