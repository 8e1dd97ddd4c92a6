"""The admin's pages with a million events against the same pages with a hundredth of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from urllib.parse import quote

import psycopg
from django.contrib.auth.models import User
from django.core.management.color import no_style
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client, override_settings
from django.utils import timezone
from django_celery_results.models import TaskResult

from bench import history
from bench.figures import Figure
from bench.world import World
from harvest import limits
from harvest.models import HarvestEvent, HarvestRun

EVENTS = 1_000_000
HUNDREDTH = EVENTS // 100
WARM_UP = 3
ROUNDS = 15

WHY = (
    "pages: one that takes longer the more rows there are reads more than it shows. An index for its\n"
    "query would meet the goal: EXPLAIN says which is missing (docs/design.md, Long lists). On a\n"
    "machine with other work one may miss it by chance: another one the next time."
)

RUNS = "harvest/harvestrun/"
EVENT_LIST = "harvest/harvestevent/"
REJECTED = "harvest/rejectedmessage/"
COLLECTIONS = "harvest/collection/"
TRIGGERS = "harvest/harvesttrigger/"
NOTICES = "harvest/notice/"
READINGS = "harvest/queuereading/"
RESULTS = "django_celery_results/taskresult/"

#: Each page by its address under the admin's; {names} are looked up in each database.
PAGES = {
    "front page": "",
    "run list": RUNS,
    "run list, failed": f"{RUNS}?status__exact=failed",
    "run list, stale": f"{RUNS}?standing=stale",
    "run list, with errors": f"{RUNS}?errors=yes",
    "run list, by campus": f"{RUNS}?campus=UC Berkeley",
    "run list, by host": f"{RUNS}?host=https://airflow.example.org",
    "run list, by DAG": f"{RUNS}?dag_id=index_collection",
    "run list, by hand": f"{RUNS}?status_source__exact=person",
    "run list, a quarter": f"{RUNS}?last_heard_at_from={{quarter_day}}",
    "run list, of a collection": f"{RUNS}?collection__id__exact=17",
    "run list, DAG run id": f"{RUNS}?q={{dag_run_id}}",
    "run list, collection id": f"{RUNS}?q=17",
    "run list, collection's name": f"{RUNS}?q=000017th",
    "run list, task": f"{RUNS}?q=validation.validate_collection",
    "run list, text of an error": f"{RUNS}?q=isShownAt",
    "run list, common word": f"{RUNS}?q=photographs",
    "run list, nothing found": f"{RUNS}?q=nowhere",
    "run list, by collection": f"{RUNS}?o=2",
    "run list, last page": f"{RUNS}?p={{last_runs}}",
    "run page": f"{RUNS}{{run}}/change/",
    "event list": EVENT_LIST,
    "event list, errors": f"{EVENT_LIST}?error__exact=1",
    "event list, whole runs": f"{EVENT_LIST}?dag_level__exact=1",
    "event list, failed": f"{EVENT_LIST}?outcome__exact=failed",
    "event list, errors of whole runs": f"{EVENT_LIST}?error__exact=1&dag_level__exact=1",
    "event list, errors that ended well": f"{EVENT_LIST}?error__exact=1&outcome__exact=succeeded",
    "event list, failures without error": f"{EVENT_LIST}?error__exact=0&outcome__exact=failed",
    "event list, whole runs that run": f"{EVENT_LIST}?dag_level__exact=1&outcome__exact=running",
    "event list, tasks that end a run": f"{EVENT_LIST}?dag_level__exact=0&outcome__exact=succeeded",
    "event list, a quarter": f"{EVENT_LIST}?sns_timestamp__gte={{quarter}}&sns_timestamp__lt={{now}}",
    "event list, task": f"{EVENT_LIST}?q=validation.validate_collection",
    "event list, DAG run id": f"{EVENT_LIST}?q={{dag_run_id}}",
    "event list, message id": f"{EVENT_LIST}?q={{message_id}}",
    "event list, nothing found": f"{EVENT_LIST}?q=nowhere",
    "event list, page 20": f"{EVENT_LIST}?p=20",
    "event list, oldest": f"{EVENT_LIST}?o=0",
    "event list, of a run": f"{EVENT_LIST}?harvest_run__id__exact={{run}}",
    "event page": f"{EVENT_LIST}{{event}}/change/",
    "rejected list": REJECTED,
    "rejected list, waiting": f"{REJECTED}?state=waiting",
    "rejected list, by reason": f"{REJECTED}?reason__exact=not_json",
    "rejected list, search": f"{REJECTED}?q=Expecting",
    "rejected list, nothing found": f"{REJECTED}?q=nowhere",
    "rejected page": f"{REJECTED}17/change/",
    "collection list": COLLECTIONS,
    "collection list, name": f"{COLLECTIONS}?q=000017th",
    "collection page": f"{COLLECTIONS}17/change/",
    "trigger list": TRIGGERS,
    "trigger list, unknown": f"{TRIGGERS}?state__exact=unknown",
    "trigger list, DAG run id": f"{TRIGGERS}?q={{dag_run_id}}",
    "trigger list, nothing found": f"{TRIGGERS}?q=nowhere",
    "notice list": NOTICES,
    "notice list, given up": f"{NOTICES}?state__exact=failed",
    "notice list, of a kind": f"{NOTICES}?kind=lost",
    "queues": f"{READINGS}queues/",
    "queue reading list": READINGS,
    "redrive list": "harvest/redrive/",
    "task result list": RESULTS,
    "task result list, failed": f"{RESULTS}?status=FAILURE",
    "task result page": f"{RESULTS}{{result}}/change/",
}


@dataclass
class History:
    """A filled database, and a superuser's browser on it."""

    database: BaseDatabaseWrapper
    browser: Client
    names: dict[str, object]

    def seconds(self, page: str) -> tuple[float, int]:
        """Return how long a page takes, and how many rows its tables have."""
        connections["default"] = self.database
        url = "/admin/" + page.format(**self.names)
        started = time.perf_counter()
        response = self.browser.get(url)
        seconds = time.perf_counter() - started
        if response.status_code != 200:
            raise RuntimeError(f"{url}: {response.status_code}")
        return seconds, response.content.count(b"<tr")


def run(world: World) -> list[Figure]:
    own = connections["default"]
    with override_settings(DEBUG=False, ALLOWED_HOSTS=["testserver"]):
        few, many = _write(world, HUNDREDTH), _write(world, EVENTS)
        try:
            figures = [_compare(name, page, few, many) for name, page in PAGES.items()]
            return [*figures, *_long_runs(many)]
        finally:
            connections["default"] = own
            for each in (few, many):
                each.database.close()
                with world.connect() as postgresql:
                    postgresql.execute(f"DROP DATABASE {each.database.settings_dict['NAME']}")


def _long_runs(here: History) -> list[Figure]:
    """Compare the pages of a run of 10,000 events, 1,000 mapped tasks, with those of one of 200: as many
    as a page of a mapped task shows."""
    connections["default"] = here.database
    with connection.cursor() as cursor:  # The rows of the history brought their ids.
        for sql in connection.ops.sequence_reset_sql(no_style(), [HarvestRun, HarvestEvent]):
            cursor.execute(sql)
    short, long = (_write_run(events) for events in (limits.MAX_ATTEMPTS, 10_000))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE harvest_harvestevent")
    figures = []
    for name, page in (
        ("run page, 10,000 events", f"{RUNS}{{}}/change/"),
        ("mapped task, 1,000 of it", f"{RUNS}{{}}/task/?task=mapping.map_page"),
    ):
        seconds: dict[int, list[float]] = {short: [], long: []}
        for number in range(WARM_UP + ROUNDS):
            for run_id in (short, long) if number % 2 else (long, short):
                took, _ = here.seconds(page.format(run_id))
                seconds[run_id].append(took)
        small, large = (median(seconds[run_id][WARM_UP:]) * 1000 for run_id in (short, long))
        print(f"  {name:<36} {small:>6.0f} ms {large:>6.0f} ms", flush=True)
        figures.append(Figure(f"pages: {name}", large / small, "x", at_most=1.5, why=WHY))
    return figures


def _write_run(events: int) -> int:
    """Write a failed run with so many events of one mapped task, ten of each instance but at least 50
    instances, so that each page is full. Return its id."""
    now = timezone.now()
    run = HarvestRun.objects.create(
        dag_id="harvest_collection",
        dag_run_id=f"long__{events}",
        logical_date=now,
        first_event_at=now,
        last_heard_at=now,
        status="failed",
    )
    HarvestEvent.objects.bulk_create(
        HarvestEvent(
            harvest_run=run,
            message_id=f"long-{events}-{number}",
            task_id="mapping.map_page",
            map_index=number % max(events // 10, 50),
            try_number=1 + number // max(events // 10, 50),
            rikolti_message={"error": True, "exception": "KeyError"} if number % 4 == 0 else {"a": 1},
            error=number % 4 == 0,
            outcome="failed" if number % 4 == 0 else "running",
            sns_timestamp=now + timedelta(seconds=number),
            logical_date=now,
            recorded_at=now,
        )
        for number in range(events)
    )
    return run.pk


def _write(world: World, events: int) -> History:
    """Make a database of its own, a copy of the migrated one, and fill it."""
    name = f"pages_{events}"
    started = time.perf_counter()
    connection.close()  # a template must have no users
    with world.connect() as postgresql:
        postgresql.execute(f'CREATE DATABASE {name} TEMPLATE "{postgresql.info.dbname}"')
    with psycopg.connect(world.database_url, dbname=name, autocommit=True) as postgresql:
        history.write(postgresql, events)
    print(f"  {events:,} events written in {time.perf_counter() - started:.0f} s", flush=True)

    database = connections.create_connection("default")
    database.settings_dict = {**database.settings_dict, "NAME": name}
    connections["default"] = database
    browser = Client()
    browser.force_login(User.objects.create_superuser("staff"))
    return History(database, browser, _names(events))


def _names(events: int) -> dict[str, object]:
    """Return what pages of the database in use are named by."""
    run = HarvestRun.objects.get(pk=history.long_run(events))
    event = HarvestEvent.objects.get(pk=events // 2)
    now = timezone.now()
    return {
        "run": run.pk,
        "dag_run_id": quote(run.dag_run_id),
        "event": event.pk,
        "message_id": event.message_id,
        "result": TaskResult.objects.latest("pk").pk,
        "last_runs": HarvestRun.objects.count() // 50,
        "now": quote(now.isoformat()),
        "quarter_day": (now - timedelta(days=90)).date().isoformat(),
        "quarter": quote((now - timedelta(days=90)).isoformat()),
    }


def _compare(name: str, page: str, few: History, many: History) -> Figure:
    """Open the page in turns on both. The first of a pair is now the one, now the other."""
    seconds: dict[int, list[float]] = {id(few): [], id(many): []}
    for number in range(WARM_UP + ROUNDS):
        rows = set()
        for each in (few, many) if number % 2 else (many, few):
            took, length = each.seconds(page)
            seconds[id(each)].append(took)
            rows.add(length)
        if len(rows) > 1:
            raise RuntimeError(f"{name}: pages of {rows} rows can't be compared")
    small, large = (median(each[WARM_UP:]) * 1000 for each in seconds.values())
    print(f"  {name:<36} {small:>6.0f} ms {large:>6.0f} ms", flush=True)
    return Figure(f"pages: {name}", large / small, "x", at_most=1.5, why=WHY)
