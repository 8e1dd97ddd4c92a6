"""What `make run` gives its processes, and leaves in VAR_DIR/local.env for `manage.py`."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avram import variables

HOST = "127.0.0.1"
REGION = "us-west-2"
ACCOUNT = "000000000000"

#: The login of the admin and of Flower. They listen on 127.0.0.1 alone, in DEBUG.
USER = PASSWORD = "admin"  # noqa: S105

#: Short, so that a demo's lost run is seen to go stale.
DEMO_STALE_AFTER = "2m"


@dataclass(frozen=True)
class Local:
    """Ports and folder of this machine's parts, from the environment."""

    web: int
    flower: int
    aws: int
    monitor: int
    folder: Path
    demo: bool

    @classmethod
    def from_environment(cls) -> Local:
        """Raises ImproperlyConfigured: a variable is wrong."""
        return cls(
            web=variables.PORT.read(),
            flower=variables.FLOWER_PORT.read(),
            aws=variables.LOCAL_AWS_PORT.read(),
            monitor=variables.MONITOR_PORT.read(),
            folder=variables.VAR_DIR.read(),
            demo=variables.DEMO.read(),
        )

    def taken_ports(self) -> list[str]:
        """Return a sentence for each port that another program listens on."""
        ports = {
            "PORT": self.web,
            "FLOWER_PORT": self.flower,
            "LOCAL_AWS_PORT": self.aws,
            "MONITOR_PORT": self.monitor,
        }
        return [
            f"Port {port} is taken. Choose another: make run {name}={port + 1000}"
            for name, port in ports.items()
            if _is_taken(port)
        ]

    def variables(self) -> Mapping[str, str]:
        """Return the variables of all processes. What the environment has already goes first."""
        endpoint = f"http://{HOST}:{self.aws}"
        return {
            "DEBUG": "1",
            "SECRET_KEY": self._secret_key(),
            "ALLOWED_HOSTS": f"{HOST},localhost",
            "DATABASE_URL": variables.DATABASE_URL.text or f"sqlite:///{self.folder / 'avram.sqlite3'}",
            "STALE_AFTER": variables.STALE_AFTER.text or (DEMO_STALE_AFTER if self.demo else "6h"),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "RIKOLTI_EVENTS_QUEUE_URL": f"{endpoint}/{ACCOUNT}/rikolti-events",
            "RIKOLTI_EVENTS_TOPIC_ARNS": f"arn:aws:sns:{REGION}:{ACCOUNT}:rikolti-events",
            "AVRAM_TASKS_QUEUE_URL": f"{endpoint}/{ACCOUNT}/avram-tasks",
            "MONITOR_BROKER_URL": f"redis://{HOST}:{self.monitor}/0",
            "METRICS_ADDRESS": variables.METRICS_ADDRESS.text or f"{HOST}:9808",
            "FLOWER_USER": USER,
            "FLOWER_PASSWORD": PASSWORD,
            "PORT": str(self.web),
            "FLOWER_PORT": str(self.flower),
            "FLOWER_URL": f"http://{HOST}:{self.flower}/",
        }

    def write_file(self) -> None:
        """Leave the variables for `manage.py`, readable by this user alone."""
        file = self.folder / "local.env"
        file.touch()
        file.chmod(0o600)
        file.write_text("".join(f"{name}={value}\n" for name, value in self.variables().items()))

    def _secret_key(self) -> str:
        file = self.folder / "secret_key"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(48))
        return file.read_text()


def _is_taken(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return True
        return False
