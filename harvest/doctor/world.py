"""The rest of the world: database, clock, monitoring broker and Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.checks import run_checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from harvest import airflow_api
from harvest.airflow_api import AirflowError, NotFound, Refused
from harvest.doctor.findings import Finding, fault, ok, warning
from harvest.monitoring import connect

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: AWS's clock is told in whole seconds, and its answer takes a while.
FINE_SKEW = timedelta(seconds=5)
#: AWS takes no request whose time is five minutes off.
LAST_SKEW = timedelta(minutes=4)

#: No run has this name: Airflow that says so was asked by someone it knows.
NOBODY = "avram-doctor"


def examine_settings() -> Iterator[Finding]:
    """Tell what the system checks say."""
    for problem in run_checks():
        make = fault if problem.is_serious() else warning
        yield make(f"Settings: {problem.msg}", str(problem.hint or "See docs/settings.md."))


def examine_database() -> Iterator[Finding]:
    """Ask the database for its version, and whether all migrations are there."""
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        yield fault(
            f"Database: it can't be asked ({type(error).__name__}: {str(error).partition(chr(10))[0]}).",
            "See that it is up, and DATABASE_URL.",
        )
        return
    yield ok(f"Database: {connection.display_name} answers.")
    if missing:
        names = ", ".join(f"{migration.app_label} {migration.name}" for migration, _ in missing[:5])
        yield fault(
            f"Database: {len(missing)} migrations are missing ({names}).", "Run manage.py migrate."
        )
    else:
        yield ok("Database: all migrations are there.")


def examine_clock(sqs: SQSClient) -> Finding:
    """Compare our clock with AWS's."""
    before = datetime.now(UTC)
    try:
        response: Any = sqs.get_queue_attributes(QueueUrl=settings.RIKOLTI_EVENTS_QUEUE_URL)
    except ClientError as error:
        response = error.response  # a refusal has a time as well
    date = response["ResponseMetadata"].get("HTTPHeaders", {}).get("date", "")
    return judge_clock(date, before, datetime.now(UTC))


def judge_clock(date: str, before: datetime, after: datetime) -> Finding:
    """Judge by the header Date of an answer that came between two times of ours."""
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return warning("Clock: AWS did not tell the time.", "Compare it with another clock.")
    ahead, behind = before - theirs, theirs - after
    skew = max(ahead, behind)
    todo = "Let the host's clock be set by NTP."
    words = f"{abs(skew).total_seconds():.0f} s {'ahead of' if ahead > behind else 'behind'} AWS's"
    if skew > LAST_SKEW:
        return fault(f"Clock: ours is {words}: AWS refuses requests.", todo)
    if skew > FINE_SKEW:
        return warning(f"Clock: ours is {words}: runs are stale too early or too late.", todo)
    return ok("Clock: ours is AWS's.")


def examine_monitor() -> Finding:
    """Ask whether the monitoring broker takes a connection."""
    if not settings.MONITOR_BROKER_URL:
        return warning(
            "Monitoring broker: none is set: Flower shows nothing.", "Set MONITOR_BROKER_URL."
        )
    try:
        with connect() as monitor:
            monitor.ensure_connection(max_retries=1, timeout=5)
    except Exception as error:  # whatever a network and a driver can do
        # Its text may have the URL, with a password.
        return warning(
            f"Monitoring broker: it can't be reached ({type(error).__name__}): Flower shows nothing.",
            "See that it is up, and MONITOR_BROKER_URL. Work goes on meanwhile.",
        )
    return ok("Monitoring broker: it answers.")


def examine_airflow() -> Iterator[Finding]:
    """Ask each configured Airflow for a run that nobody has."""
    if not airflow_api.hosts():
        yield warning("Airflow: no host is configured: no run is looked up.", "Set AIRFLOW_HOSTS.")
    for address in airflow_api.hosts():
        client = airflow_api.client_of(address)
        assert client is not None  # noqa: S101 - it is configured
        who = client.host.username or f"environment {client.host.environment}"
        name = f"Airflow {address} ({client.host.kind}, {who})"
        try:
            client.get_run(NOBODY, NOBODY)
        except NotFound:
            yield ok(f"{name}: it answers, and knows us.")
        except Refused as error:
            yield fault(
                f"{name}: it refuses us: {error}.", "See user, password and role in AIRFLOW_HOSTS."
            )
        except AirflowError as error:
            yield fault(
                f"{name}: no answer: {error}.", "See that it is up, and its url in AIRFLOW_HOSTS."
            )
        else:
            yield warning(f"{name}: it has a run {NOBODY}.", "Delete that run.")
