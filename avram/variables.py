"""Every variable of the environment that is read: its name, what is written in it, and its default.

docs/settings.md is the same list with words; a test holds the two together. Nothing else in avram/ and
local/ reads the environment, but for ``load_local_parts``, which writes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured

from avram import environment, logs

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What is written in a variable, in the table's word for it; ``parse`` raises ValueError."""

    word: str
    parse: Callable[[str], T]


SWITCH = Kind("switch", environment.parse_switch)
COUNT = Kind("number", environment.parse_count)
FACTOR = Kind("factor", environment.parse_factor)
PORT_NUMBER = Kind("port", environment.parse_port)
LISTENING_ADDRESS = Kind("IP address", environment.parse_listening_address)
ENDPOINT = Kind("IP address:port", environment.parse_endpoint)
TEXT = Kind("text", str.strip)
SECRET = Kind("secret", str)
TOKEN = Kind("secret", environment.parse_token)
SECRETS = Kind("secrets", environment.parse_list)
HOST_NAMES = Kind("host names", environment.parse_host_names)
ORIGINS = Kind("origins", environment.parse_origins)
DATABASE = Kind("URL", environment.parse_database_url)
BROKER = Kind("URL", environment.parse_broker_url)
PAGE = Kind("URL", environment.parse_web_address)
REGION = Kind("region", environment.parse_region)
QUEUE = Kind("queue's URL", environment.parse_queue_url)
TOPICS = Kind("ARNs", environment.parse_topic_arns)
DURATIONS = Kind("durations", environment.parse_stale_after)
SILENCE = Kind("duration", environment.parse_silence)
DURATION = Kind("duration", environment.parse_duration)
MAIL = Kind("URL", environment.parse_email_url)
RATE = Kind("rate", environment.parse_rate)
PARTS = Kind("parts", environment.parse_parts)
LOG_LEVEL_NAME = Kind("level", environment.parse_one_of(*logs.LEVELS))
LOG_FORMAT_NAME = Kind("format", environment.parse_one_of(*logs.FORMATS))
DSN = Kind("DSN", environment.parse_sentry_dsn)
FOLDER = Kind("folder", lambda text: Path(text).resolve())
FILE_OR_JSON = Kind("JSON, or a file of it", str)

#: botocore's own, which hold a secret.
AWS_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

#: Those of this module, by name.
REGISTRY: dict[str, Variable[Any]] = {}


@dataclass(frozen=True)
class Variable(Generic[T]):
    """One variable. ``default`` stands for one that is not set, or empty, as it would be written.

    ``in_debug`` takes its place with DEBUG. ``told`` is the table's word for a default that is worked
    out elsewhere.
    """

    name: str
    kind: Kind[T]
    default: str = ""
    in_debug: str | None = None
    told: str = ""

    def __post_init__(self) -> None:
        REGISTRY[self.name] = self

    @property
    def text(self) -> str:
        """What is written in the variable; nothing where it is not set, or blank."""
        text = os.environ.get(self.name, "")
        return text if text.strip() else ""

    def read(self) -> T:
        """Return what the variable says, or its default.

        Raises:
            ImproperlyConfigured: it says something else, in one sentence that begins with its name.
        """
        default = self.in_debug if self.in_debug is not None and DEBUG.read() else self.default
        return self.parse(self.text or default)

    def find(self) -> T | None:
        """Return what the variable says, or None where it is not set. Raises as :meth:`read` does."""
        return self.parse(self.text) if self.text else None

    def parse(self, text: str) -> T:
        """Return what a text means here. Raises as :meth:`read` does."""
        try:
            return self.kind.parse(text)
        except ValueError as error:
            raise ImproperlyConfigured(f"{self.name} {error}.") from None


# --- All processes --------------------------------------------------------------------------------

DEBUG = Variable("DEBUG", SWITCH, "0")
SECRET_KEY = Variable("SECRET_KEY", SECRET, told="none, required")
SECRET_KEY_FALLBACKS = Variable("SECRET_KEY_FALLBACKS", SECRETS)
DATABASE_URL = Variable(
    "DATABASE_URL",
    DATABASE,
    f"sqlite:///{environment.ROOT / 'var' / 'avram.sqlite3'}",
    told="SQLite in `var/`",
)
RIKOLTI_EVENTS_QUEUE_URL = Variable("RIKOLTI_EVENTS_QUEUE_URL", QUEUE)
RIKOLTI_EVENTS_TOPIC_ARNS = Variable("RIKOLTI_EVENTS_TOPIC_ARNS", TOPICS)
RIKOLTI_VERIFY_SIGNATURES = Variable("RIKOLTI_VERIFY_SIGNATURES", SWITCH, "1", in_debug="0")
AVRAM_TASKS_QUEUE_URL = Variable(
    "AVRAM_TASKS_QUEUE_URL", QUEUE, told="`avram-tasks` beside the raw queue"
)
REGISTRY_DATABASE_URL = Variable("REGISTRY_DATABASE_URL", DATABASE)
STALE_AFTER = Variable("STALE_AFTER", DURATIONS, "6h")
AIRFLOW_HOSTS = Variable("AIRFLOW_HOSTS", FILE_OR_JSON)
MONITOR_BROKER_URL = Variable("MONITOR_BROKER_URL", BROKER)
REMOTE_CONTROL = Variable("REMOTE_CONTROL", SWITCH, "1")
AWS_REGION = Variable("AWS_REGION", REGION)
AWS_DEFAULT_REGION = Variable("AWS_DEFAULT_REGION", REGION, told="`AWS_REGION`")
LOG_LEVEL = Variable("LOG_LEVEL", LOG_LEVEL_NAME, "info")
LOG_FORMAT = Variable("LOG_FORMAT", LOG_FORMAT_NAME, "json", in_debug="console")
AVRAM_VERSION = Variable("AVRAM_VERSION", TEXT, told="that of `pyproject.toml`")
SENTRY_DSN = Variable("SENTRY_DSN", DSN)
SENTRY_ENVIRONMENT = Variable("SENTRY_ENVIRONMENT", TEXT, "production", in_debug="development")

# --- Single processes -----------------------------------------------------------------------------

ALLOWED_HOSTS = Variable("ALLOWED_HOSTS", HOST_NAMES, in_debug="127.0.0.1,localhost")
CSRF_TRUSTED_ORIGINS = Variable("CSRF_TRUSTED_ORIGINS", ORIGINS)
BEHIND_TLS_PROXY = Variable("BEHIND_TLS_PROXY", SWITCH, "0")
WEB_ADDRESS = Variable("WEB_ADDRESS", LISTENING_ADDRESS, "127.0.0.1")
PORT = Variable("PORT", PORT_NUMBER, "8000")
WEB_CONCURRENCY = Variable("WEB_CONCURRENCY", COUNT, "2")
HEARTBEAT_STALE_AFTER = Variable("HEARTBEAT_STALE_AFTER", SILENCE, "45s")
READYZ_PARTS = Variable("READYZ_PARTS", PARTS, ",".join(environment.READY_PARTS))
RUNTIME_DIR = Variable("RUNTIME_DIR", FOLDER, told="`run` in `VAR_DIR`")
METRICS_TOKEN = Variable("METRICS_TOKEN", TOKEN, told="none; outside DEBUG no metrics without one")
METRICS_ADDRESS = Variable("METRICS_ADDRESS", ENDPOINT, told="none; `make run` takes `127.0.0.1:9808`")
PUBLIC_URL = Variable(
    "PUBLIC_URL",
    PAGE,
    told="`https://` and the first of `ALLOWED_HOSTS`; in DEBUG `http://127.0.0.1:PORT`",
)
EMAIL_URL = Variable("EMAIL_URL", MAIL, "smtp://localhost:25", in_debug="consolemail://")
DEFAULT_FROM_EMAIL = Variable("DEFAULT_FROM_EMAIL", TEXT, "avram@localhost")
NOTICE_MAIL_DOMAINS = Variable("NOTICE_MAIL_DOMAINS", HOST_NAMES)
API_RATE = Variable("API_RATE", RATE, "120/min")
FLOWER_URL = Variable("FLOWER_URL", PAGE, told="none; `make run` sets its own")
WORKER_CONCURRENCY = Variable("WORKER_CONCURRENCY", COUNT, "2")
RIKOLTI_CONSUMER = Variable("RIKOLTI_CONSUMER", SWITCH, "1")
QUEUE_WARN_DEPTH = Variable("QUEUE_WARN_DEPTH", COUNT, "10000")
RETAIN_ENVELOPES = Variable("RETAIN_ENVELOPES", DURATION, "90d")
RETAIN_RESULTS = Variable("RETAIN_RESULTS", DURATION, "7d")
RETAIN_READINGS = Variable("RETAIN_READINGS", DURATION, "30d")
RETAIN_REPLAYED = Variable("RETAIN_REPLAYED", DURATION, "90d")
RETAIN_NOTICES = Variable("RETAIN_NOTICES", DURATION, "90d")
FLOWER_USER = Variable("FLOWER_USER", TEXT, told="none, required outside DEBUG")
FLOWER_PASSWORD = Variable("FLOWER_PASSWORD", SECRET)
FLOWER_BASIC_AUTH = Variable("FLOWER_BASIC_AUTH", SECRETS)
FLOWER_ADDRESS = Variable("FLOWER_ADDRESS", LISTENING_ADDRESS, "127.0.0.1")
FLOWER_PORT = Variable("FLOWER_PORT", PORT_NUMBER, "5555")

# --- `make run` and the tests ---------------------------------------------------------------------

LOCAL_AWS_PORT = Variable("LOCAL_AWS_PORT", PORT_NUMBER, "4566")
MONITOR_PORT = Variable("MONITOR_PORT", PORT_NUMBER, "6380")
VAR_DIR = Variable("VAR_DIR", FOLDER, str(environment.ROOT / "var"), told="`var`")
DEMO = Variable("DEMO", SWITCH, "1")
DEMO_SPEED = Variable("DEMO_SPEED", FACTOR, "1")
DEMO_FOR = Variable("DEMO_FOR", DURATION)
CHROMIUM = Variable("CHROMIUM", TEXT, told="one on the `PATH`")
CI = Variable("CI", TEXT)


def known_secrets() -> Iterator[str]:
    """Yield each secret of the environment, and each password of its URLs, for what cuts them out."""
    for variable in REGISTRY.values():
        if variable.kind in (SECRET, TOKEN):
            yield variable.text
        elif variable.kind is SECRETS:
            for one in environment.parse_list(variable.text):
                yield one
                yield one.partition(":")[2]  # of a login
        elif variable.kind in (DATABASE, BROKER, MAIL, DSN) and variable.text:
            yield from environment.passwords_of(variable.text)
    yield from (os.environ.get(name, "") for name in AWS_SECRETS)


def read_all() -> None:
    """Read each variable once, also those that this process does not need: a typing error is one.

    Raises:
        ImproperlyConfigured: of the first that is wrong, in one sentence.
    """
    for variable in REGISTRY.values():
        if variable.text:
            variable.read()
