"""What /metrics of web and worker tells, beside what the tables hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

#: What is told of each part of the pipeline that never went wrong.
NEVER = (
    "avram_receive_failures_total",
    "avram_publish_failures_total",
    "avram_monitor_failures_total",
    "avram_events_duplicate_total",
)


def scrape(urls: Iterable[str]) -> dict[str, float]:
    """Return what is told at these addresses, added up, by name and labels: ``name{label=value}``."""
    told: dict[str, float] = defaultdict(float)
    for url in urls:
        with urlopen(url, timeout=20) as response:
            text = response.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                told[named(sample.name, **sample.labels)] += sample.value
    return dict(told)


def named(name: str, **labels: str) -> str:
    inner = ",".join(f"{label}={value}" for label, value in sorted(labels.items()))
    return f"{name}{{{inner}}}" if labels else name


def held() -> dict[str, float]:
    """Return what should be told, counted in the tables."""
    from django.db.models import Count, Sum
    from django_celery_results.models import TaskResult

    from harvest.gauges import MOST_COUNTED
    from harvest.models import HarvestEvent, HarvestRun, RejectedMessage, RunChange

    events = HarvestEvent.objects.count()
    running = HarvestRun.objects.filter(status=HarvestRun.Status.RUNNING)
    by_reason = RejectedMessage.objects.values_list("reason").annotate(Sum("times_seen"))
    rejected = {named("avram_messages_rejected_total", reason=reason): n for reason, n in by_reason}
    by_status = HarvestRun.objects.values_list("status").annotate(Count("pk"))
    by_kind = RunChange.objects.values_list("kind").annotate(Count("pk"))
    # Some of beat's end while this is counted: those that an event leads to are looked at.
    by_task = (
        TaskResult.objects.filter(task_name__in=("harvest.record_event", "harvest.recompute_run_status"))
        .values_list("task_name", "status")
        .annotate(Count("pk"))
    )
    return {
        "avram_events_received_total": events + sum(rejected.values()),
        "avram_events_recorded_total": events,
        "avram_event_lag_seconds_count": events,
        **dict.fromkeys(NEVER, 0),
        **rejected,
        **{
            named("avram_tasks_total", task=task, outcome=_OUTCOMES.get(state, state)): n
            for task, state, n in by_task
        },
        **{named("avram_run_changes_total", kind=kind): n for kind, n in by_kind},
        **{named("avram_runs", status=status): min(n, MOST_COUNTED) for status, n in by_status},
        "avram_runs_stale": running.exclude(stale_since=None).count(),
        "avram_runs_lost": HarvestRun.objects.exclude(lost_since=None).count(),
        "avram_rejected_messages_waiting": RejectedMessage.objects.filter(replayed_at=None).count(),
    }


_OUTCOMES = {"SUCCESS": "succeeded", "FAILURE": "failed", "RETRY": "retried"}


def differences(told: Mapping[str, float], should: Mapping[str, float]) -> list[str]:
    """Return what is told otherwise than it should be."""
    return [
        f"{name} is {told.get(name)}, the tables hold {value}"
        for name, value in should.items()
        if told.get(name) != value
    ]
