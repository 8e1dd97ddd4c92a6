"""Settings, all of them from the environment: docs/settings.md lists the variables.

Nothing insecure is a default: without DEBUG, SECRET_KEY and ALLOWED_HOSTS must be given.
AWS region, endpoint and credentials come by botocore's own chain (AWS_REGION, roles, …).
"""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from avram import logs, theme, variables
from avram.environment import (
    ROOT,
    guess_public_url,
    heed_aws_region,
    own_version,
    parse_airflow_hosts,
    passwords_of_hosts,
)

variables.read_all()
heed_aws_region()

DEBUG = variables.DEBUG.read()
SECRET_KEY = variables.SECRET_KEY.read()
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. On a developer's machine start `make run` once: it makes one."
    )
#: Keys of the past, by which sessions and links of then are still believed.
SECRET_KEY_FALLBACKS = variables.SECRET_KEY_FALLBACKS.read()
#: What runs here, for logs, metrics, /healthz and Sentry.
VERSION = variables.AVRAM_VERSION.read() or own_version()
ALLOWED_HOSTS = variables.ALLOWED_HOSTS.read()
CSRF_TRUSTED_ORIGINS = variables.CSRF_TRUSTED_ORIGINS.read()

INSTALLED_APPS = [
    "unfold",  # before the admin, whose templates it takes the place of
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "avram.adminconfig.LazyAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "axes",
    "csp",
    "harvest",
]

MIDDLEWARE = [
    "harvest.probes.ProbesMiddleware",  # before what looks at hosts, redirects or asks the database
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "avram.requestlog.RequestLogMiddleware",  # what whitenoise serves is no news
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it turns what a login answers into a refusal
]

ROOT_URLCONF = "avram.urls"
WSGI_APPLICATION = "avram.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "avram" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database -------------------------------------------------------------------------------------

DATABASES = {
    "default": {
        **variables.DATABASE_URL.read(),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
if "sqlite3" in DATABASES["default"]["ENGINE"]:
    # Several processes write. WAL lets readers go on meanwhile; IMMEDIATE takes the write lock at
    # the beginning of a transaction, where waiting for it helps, and not in its middle.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 30,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
if "postgresql" in DATABASES["default"]["ENGINE"]:
    # A database that is silent must not hold a task for ever: an error can be retried. Seconds to
    # connect, milliseconds without an acknowledgement, and how long to wait for another's lock. What
    # the URL says goes first: postgresql://…?connect_timeout=10
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "tcp_user_timeout": 20_000,
        "options": "-c lock_timeout=20s",
        **DATABASES["default"].get("OPTIONS", {}),
    }
#: The database of a registry that ran before this, for import_registry, which only reads it.
REGISTRY_DATABASE = variables.REGISTRY_DATABASE_URL.find()
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Web ------------------------------------------------------------------------------------------

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "avram.formats"  # dates with seconds, in the order that sorts

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LOGIN_REDIRECT_URL = "admin:index"  # of a login without a page to go on to

STATIC_URL = "static/"
# Served from the packages that bring them: there is nothing to collect.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not DEBUG
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True  # No script of ours or the theme's reads them.
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = (
    "Lax"  # Strict: a link in a mail finds nobody logged in.
)
SESSION_COOKIE_AGE = 12 * 3600  # a day's work, from the login
BEHIND_TLS_PROXY = variables.BEHIND_TLS_PROXY.read()
if BEHIND_TLS_PROXY:
    # Only where a proxy sets this header itself: else anyone can claim to have come by HTTPS.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 0 if DEBUG else 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG
SECURE_REFERRER_POLICY = "same-origin"  # Links lead to Airflow: it need not know from which page.
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# All comes from here. docs/threat-model.md says what the two exceptions are for, and what they leave.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
# Ten wrong passwords within a quarter of an hour, for one name or from one address, and neither may try
# again until a quarter of an hour has passed. Who is logged in is not disturbed.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_USE_ATTEMPT_EXPIRATION = True
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
AXES_CLIENT_IP_CALLABLE = "avram.addresses.client_address"
AXES_LOCKOUT_TEMPLATE = "registration/locked_out.html"
AXES_ENABLE_ADMIN = False  # `manage.py axes_list_attempts` and `axes_reset` do.
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False

#: Where a browser finds Flower, for a link beside the pages; without it there is none.
FLOWER_URL = variables.FLOWER_URL.find() or ""
UNFOLD = theme.unfold(debug=DEBUG, flower_url=FLOWER_URL)

# --- API ------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    # The first of them says in the answer's header how to log in.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["harvest.api.rules.MayView"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": variables.API_RATE.read()},
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "harvest.api.errors.answer_error",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Avram, harvests",
    "DESCRIPTION": "Runs of Rikolti's harvests, their events, and how it all stands. Read-only.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "PATH_CONVERTER_OVERRIDES": {"id": {"type": "integer", "minimum": 0}},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "harvest.api.description.describe_errors",
    ],
    "ENUM_NAME_OVERRIDES": {"Status": "harvest.models.runs.HarvestRun.Status"},
}

# --- Notices --------------------------------------------------------------------------------------

#: Where people find these pages, for the links in notices.
PUBLIC_URL = (variables.PUBLIC_URL.find() or "").rstrip("/") or guess_public_url(
    ALLOWED_HOSTS, debug=DEBUG, port=variables.PORT.read()
)
#: Whether webhooks go to the public internet only, and by HTTPS: what a person may set must lead to
#: nothing inside our own network.
WEBHOOKS_GUARDED = not DEBUG

# Django's own settings of its mail, such as EMAIL_HOST.
vars().update(variables.EMAIL_URL.read())
EMAIL_TIMEOUT = 10  # seconds, for each step of a conversation with the mail server
DEFAULT_FROM_EMAIL = variables.DEFAULT_FROM_EMAIL.read()

# Domains that notices go to by mail. None: any.
NOTICE_MAIL_DOMAINS = variables.NOTICE_MAIL_DOMAINS.read()

# --- Rikolti --------------------------------------------------------------------------------------

#: The queue that the SNS topic of Rikolti's events forwards to.
RIKOLTI_EVENTS_QUEUE_URL = variables.RIKOLTI_EVENTS_QUEUE_URL.find() or ""
#: The topic's ARN, or several; publish_events publishes to the first.
RIKOLTI_EVENTS_TOPIC_ARNS = variables.RIKOLTI_EVENTS_TOPIC_ARNS.read()
#: Whether only what SNS has signed, of these topics, is believed. The local AWS of DEBUG signs nothing.
RIKOLTI_VERIFY_SIGNATURES = variables.RIKOLTI_VERIFY_SIGNATURES.read()
#: Whether this worker takes events from that queue, or only runs tasks.
RIKOLTI_CONSUMER = variables.RIKOLTI_CONSUMER.read()
#: More messages than this on a queue are warned of; of dead letters, any.
QUEUE_WARN_DEPTH = variables.QUEUE_WARN_DEPTH.read()
#: How long a running run may be silent before it is stale: a default, and exceptions by DAG.
STALE_AFTER, STALE_AFTER_BY_DAG = variables.STALE_AFTER.read()
#: Which Airflows may be asked about their runs, by the address that events give.
AIRFLOW_HOSTS = parse_airflow_hosts(variables.AIRFLOW_HOSTS.read(), debug=DEBUG)

#: How long what is not for ever is kept: harvest/retention.py.
RETAIN_ENVELOPES = variables.RETAIN_ENVELOPES.read()
RETAIN_RESULTS = variables.RETAIN_RESULTS.read()
RETAIN_READINGS = variables.RETAIN_READINGS.read()
RETAIN_REPLAYED = variables.RETAIN_REPLAYED.read()
RETAIN_NOTICES = variables.RETAIN_NOTICES.read()

# --- Health ---------------------------------------------------------------------------------------

#: Where processes leave their signs of life for `manage.py alive`: one folder a machine or container.
RUNTIME_DIR = str(variables.RUNTIME_DIR.find() or variables.VAR_DIR.read() / "run")
#: After how much silence /readyz misses beat, the workers or the consumers. An idle consumer asks its
#: queue every 20 seconds.
HEARTBEAT_STALE_AFTER = variables.HEARTBEAT_STALE_AFTER.read()
#: The parts that /readyz asks for.
READYZ_PARTS = variables.READYZ_PARTS.read()
#: What who asks for /metrics must have; outside DEBUG nobody is answered without one.
METRICS_TOKEN = variables.METRICS_TOKEN.find() or ""
#: Where a worker answers, as an address and a port; None for nowhere. Web does so on its own port.
METRICS_ADDRESS: tuple[str, int] | None = variables.METRICS_ADDRESS.find()

# --- Celery ---------------------------------------------------------------------------------------

#: The queue of Celery's own messages: by default the one beside the events' queue.
AVRAM_TASKS_QUEUE_URL = variables.AVRAM_TASKS_QUEUE_URL.find() or (
    RIKOLTI_EVENTS_QUEUE_URL.rpartition("/")[0] + "/avram-tasks" if RIKOLTI_EVENTS_QUEUE_URL else ""
)
#: A second broker that carries what workers tell Flower, since SQS has no way to send to all.
MONITOR_BROKER_URL = variables.MONITOR_BROKER_URL.find() or ""
#: Whether workers take commands from there, or only tell.
REMOTE_CONTROL = variables.REMOTE_CONTROL.read()

CELERY_BROKER_URL = "sqs://"
CELERY_BROKER_TRANSPORT = "harvest.transport:Transport"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "predefined_queues": {"avram-tasks": {"url": AVRAM_TASKS_QUEUE_URL}},
    "wait_time_seconds": 20,  # The longest poll that SQS allows: three requests a minute when idle.
    "sqs_base64_encoding": False,  # JSON needs none, and SQS counts bytes.
    # Deletes and the like are called on the worker's loop: they must not hold it up for long.
    "client-config": {
        "connect_timeout": 5,
        "read_timeout": 30,  # longer than the poll
        "retries": {"mode": "standard", "total_max_attempts": 2},
    },
}
# Each process keeps its database connection, which avram/signals.py looks after before each task.
CELERY_DB_REUSE_MAX = 1_000
CELERY_TASK_DEFAULT_QUEUE = "avram-tasks"
# setup_queues makes it. Celery would ask for its length before each task that it sends.
CELERY_TASK_QUEUES = [Queue("avram-tasks", no_declare=True)]
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]

# A message leaves the queue when its task has ended, well or not at all: what fails for a reason
# that our code did not foresee is delivered again, and in the end goes to avram-tasks-dlq.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 4
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
# What a worker has taken waits for up to three others: four times the limit stay within the
# visibility timeout of avram-tasks (setup_queues makes it 300 s).
CELERY_TASK_SOFT_TIME_LIMIT = 50
CELERY_TASK_TIME_LIMIT = 60

CELERY_RESULT_BACKEND = "harvest.results:ResultBackend"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES = RETAIN_RESULTS

CELERY_BEAT_SCHEDULER = "harvest.schedule:Scheduler"
CELERY_BEAT_SYNC_EVERY = 1  # so that pages know when a task was sent last
CELERY_TIMEZONE = TIME_ZONE

CELERY_WORKER_SEND_TASK_EVENTS = bool(MONITOR_BROKER_URL)
# Celery's own would go over SQS, which has no fanout. What we have instead is harvest.remotecontrol.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False

# --- Logs -----------------------------------------------------------------------------------------

_secrets = [*variables.known_secrets(), *passwords_of_hosts(AIRFLOW_HOSTS)]
LOGGING = logs.logging_config(variables.LOG_FORMAT.read(), variables.LOG_LEVEL.read(), _secrets)
logs.configure_structlog()
logs.identify_version(VERSION)
if _dsn := variables.SENTRY_DSN.find():
    from avram import sentry

    sentry.start(_dsn, variables.SENTRY_ENVIRONMENT.read(), VERSION, _secrets)
