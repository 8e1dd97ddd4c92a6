"""What the benchmarks run on: PostgreSQL, a local AWS with its queues, and real workers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from local.servers import local_aws
from tests import environment
from tests.broker.processes import Process, Processes
from tests.broker.wire import Wire

#: As in production: settings without DEBUG, which would keep every query in memory.
PRODUCTION = {"DEBUG": "0", "ALLOWED_HOSTS": "127.0.0.1", "RIKOLTI_VERIFY_SIGNATURES": "0"}

#: US dollars for a request to a standard queue of SQS, as Amazon lists it for the first tiers.
A_REQUEST = 0.40 / 1e6

#: Seconds: so long that nothing is delivered twice meanwhile.
VISIBILITY_TIMEOUT = 300

#: The first word of a statement in PostgreSQL's log.
_STATEMENT = re.compile(r"LOG:  (?:execute \S+|statement): (\w+)")


@dataclass
class World:
    """Servers that are up, and what starts workers on them."""

    wire: Wire
    processes: Processes
    folder: Path
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1_000)))

    @property
    def database_url(self) -> str:
        return os.environ["DATABASE_URL"]

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.database_url, autocommit=True)

    def renew(self) -> None:
        """Empty the queues and the tables."""
        self.wire.renew(VISIBILITY_TIMEOUT)
        with self.connect() as connection:
            connection.execute(
                "TRUNCATE harvest_harvestevent, harvest_harvestrun, harvest_rejectedmessage, "
                "harvest_harvesttrigger, harvest_collection, django_celery_results_taskresult CASCADE"
            )
            connection.execute("VACUUM ANALYZE")

    def worker(self, *, ready: bool = True, **variables: str) -> Process:
        name = f"bench-{next(self._names)}"
        return self.processes.worker(name, ready=ready, **(PRODUCTION | variables))

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """Count requests to SQS, and what the database is asked, while the block runs."""
        counts = Counts()
        aws_log, sql_log = self.folder / "aws.log", self.folder / "postgresql" / "log"
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            connection.execute("SELECT pg_reload_conf()")
            try:
                places = aws_log.stat().st_size, sql_log.stat().st_size
                yield counts
                counts.requests = _tail(aws_log, places[0]).count("-> service=sqs")
                statements = _STATEMENT.findall(_tail(sql_log, places[1]))
                counts.transactions = statements.count("BEGIN")
                counts.queries = len(statements) - statements.count("COMMIT") - counts.transactions
            finally:
                connection.execute("ALTER SYSTEM RESET log_statement")
                connection.execute("SELECT pg_reload_conf()")


@dataclass
class Counts:
    """Requests to SQS; SQL statements but for BEGIN and COMMIT; and the transactions."""

    requests: int = 0
    queries: int = 0
    transactions: int = 0


def _tail(log: Path, place: int) -> str:
    with log.open(errors="replace") as lines:
        lines.seek(place)
        return lines.read()


@contextmanager
def world() -> Iterator[World]:
    """Start all that is needed, with migrated, empty tables and empty queues, and end it."""
    from django.core.management import call_command

    log = environment.TEMPORARY / "aws.log"
    # A line for each request, which is how they are counted.
    servers = local_aws(environment.LOCAL_AWS_PORT, log, LOG_LEVEL="DEBUG")
    with servers, closing(Processes(show_logs=False)) as processes:
        call_command("migrate", verbosity=0)
        here = World(Wire(), processes, environment.TEMPORARY)
        here.renew()  # the benchmark before left its rows
        yield here
