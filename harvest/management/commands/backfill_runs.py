"""backfill_runs: make the runs of a time window that sent nothing, as Airflow lists them."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from harvest import airflow_api, backfill
from harvest.airflow import DAG_IDS
from harvest.airflow_api import AirflowError


def moment(text: str) -> datetime:
    """Read a date, or a date and time, in UTC unless it says otherwise."""
    try:
        date = datetime.fromisoformat(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-11-01 or 2026-11-01T12:00") from None


class Command(BaseCommand):
    help = (
        "List the runs that started or ended in a window on each Airflow of AIRFLOW_HOSTS, and make "
        "those that are not known: they failed before their first event, or their events were lost. "
        "Can be run again at any time."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=moment, required=True, help="2026-11-01, in UTC")
        parser.add_argument("--until", type=moment, help="the same; without it: now")
        parser.add_argument("--host", action="append", help="one of AIRFLOW_HOSTS; without it: all")
        parser.add_argument("--dag", action="append", help=f"without it: {', '.join(DAG_IDS)}")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be made")

    def handle(self, **options: Any) -> None:
        since, until = options["since"], options["until"] or timezone.now()
        if since >= until:
            raise CommandError("--since must lie before --until.")
        known = airflow_api.hosts()
        if not known:
            raise CommandError("AIRFLOW_HOSTS names no Airflow that could be asked.")
        chosen = [host.rstrip("/") for host in options["host"] or known]
        if unknown := [host for host in chosen if host not in known]:
            raise CommandError(f"not in AIRFLOW_HOSTS: {', '.join(unknown)}")
        windows = list(backfill.windows(since, until, chosen, options["dag"] or DAG_IDS))
        self.runs = self.made = 0
        failed = sum(
            not self._fill(window, f"[{number}/{len(windows)}]", options["dry_run"])
            for number, window in enumerate(windows, 1)
        )
        would = "would be made" if options["dry_run"] else "made"
        summary = f"{self.runs} runs listed, {self.made} {would}"
        if failed:
            raise CommandError(f"{summary}; {failed} of {len(windows)} windows could not be filled in.")
        self.stdout.write(summary)

    def _fill(self, window: backfill.Window, place: str, dry_run: bool) -> bool:
        """Fill in one window and say what it brought. Return whether all of it could be."""
        client = airflow_api.client_of(window.host)
        if client is None:
            raise CommandError(f"not in AIRFLOW_HOSTS: {window.host}")
        span = f"{window.since:%Y-%m-%d %H:%M} to {window.until:%Y-%m-%d %H:%M}"
        runs = made = failed = 0
        try:
            for chunk in backfill.fill(client, window, dry_run=dry_run):
                runs, made = runs + chunk.runs, made + chunk.made
                failed += chunk.failed
        except AirflowError as error:
            self.stderr.write(f"{place} {window.host} {window.dag_id}, {span}: {error}")
            return False
        finally:
            self.runs, self.made = self.runs + runs, self.made + made
        self.stdout.write(f"{place} {window.host} {window.dag_id}, {span}: {runs} runs, {made} new")
        if failed:
            self.stderr.write(f"{place} {failed} of them not recorded by a fault of ours: see the log.")
        return not failed
