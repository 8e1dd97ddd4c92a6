"""What a scenario plays in: the real processes, and what can be broken around them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from harvest.provision import EVENTS
from local.servers import monitoring_broker, server
from tests.broker.clock import Clock
from tests.broker.processes import Processes
from tests.broker.proxy import DatabaseProxy
from tests.broker.wire import Wire
from tests.chaos.databases import Postgres, Sqlite
from tests.environment import TEMPORARY, free_port
from tests.factories import TOPIC_ARN
from tests.sns_server import SnsServer


class QueueProxy:
    """A proxy before the local AWS that breaks requests by rules, in AWS's own words: microburst."""

    def __init__(self, upstream: str) -> None:
        self._servers = ExitStack()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        microburst = Path(sys.executable).with_name("microburst")
        command: list[str | Path] = [microburst, "--upstream", upstream, "--port", str(port)]
        self._servers.enter_context(server(command, {}, port, TEMPORARY / "queue-proxy.log"))

    def close(self) -> None:
        self._servers.close()

    def break_requests(self, *rules: dict[str, Any]) -> None:
        """Go by these rules from now on; by none, if there are none."""
        self._ask("rules", [{"service": "sqs", **rule} for rule in rules])

    def broken(self) -> int:
        """Return how many requests it has broken so far."""
        return int(self._ask("stats")["requests"]["faulted"])

    def _ask(self, path: str, data: Any = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        with urlopen(Request(f"{self.url}/_microburst/{path}", data=body), timeout=10) as response:
            return json.load(response)


class Monitor:
    """A monitoring broker that comes and goes."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._servers = ExitStack()
        self.start()

    def start(self) -> None:
        log = TEMPORARY / "monitor.log"
        self._process: subprocess.Popen[bytes] = self._servers.enter_context(
            monitoring_broker(self._port, log)
        )

    def stop(self) -> None:
        self._servers.close()

    def hang(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    close = stop


class World:
    """What runs while a scenario is played: a worker, its database and queues, and maybe beat.

    Who kills a process starts the next, as a supervisor would.
    """

    def __init__(
        self,
        rng: random.Random,
        wire: Wire,
        database: Sqlite | Postgres,
        queue_proxy: QueueProxy,
        *,
        verifies: bool,
    ) -> None:
        self.rng = rng
        self.wire = wire
        self.database = database
        self.queue_proxy = queue_proxy
        self._servers = ExitStack()
        self.monitor = Monitor()
        self.clock = Clock(TEMPORARY / "clock")
        variables = {
            "DATABASE_URL": database.url,
            "MONITOR_BROKER_URL": self.monitor.url,
            "AWS_ENDPOINT_URL": queue_proxy.url,
            "RIKOLTI_EVENTS_QUEUE_URL": f"{queue_proxy.url}/000000000000/{EVENTS}",
            **self.clock.variables,
        }
        if isinstance(database, Postgres):
            self.database_proxy = DatabaseProxy(database.url)
            variables["DATABASE_URL"] = self.database_proxy.url
        if verifies:
            folder = TEMPORARY / "sns"
            folder.mkdir(exist_ok=True)
            self.sns = SnsServer(folder)
            self._servers.callback(self.sns.close)
            variables |= {
                "RIKOLTI_VERIFY_SIGNATURES": "1",
                "RIKOLTI_EVENTS_TOPIC_ARNS": TOPIC_ARN,
                **self.sns.variables,
            }
        self._processes = Processes(show_logs=True, **variables)
        self._numbers = count(1)
        self.start_worker()

    def close(self) -> None:
        self._processes.close()
        self._servers.close()
        self.monitor.close()
        if isinstance(self.database, Postgres):
            self.database_proxy.close()

    def start_worker(self) -> None:
        self.worker = self._processes.worker(str(next(self._numbers)), ready=False)

    def supervise(self) -> None:
        """Start the next worker where Celery gave up, since a child was killed just as it started."""
        if not self.worker.is_alive and "Could not start worker processes" in self.worker.log:
            self.start_worker()

    def start_beat(self) -> None:
        self.beat = self._processes.beat()

    @property
    def logs(self) -> str:
        """All that workers, beat and the database said."""
        return self._processes.logs + self.database.log
