"""Starting runs in Airflow for collections, by a person, and what became of that.

A trigger is stored before its request goes out, under the name that the run will have: so a second click
finds it, the run's first event finds it, and whatever ends this process leaves a trace.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext

from harvest import airflow_api, limits, metrics
from harvest.airflow import HARVEST, PUBLISH, UNPUBLISH, make_conf
from harvest.airflow_api import AirflowError, AirflowRun, AlreadyExists, Client, NotFound, Unavailable
from harvest.models import HarvestTrigger

#: What a person may do, by the word that stands in addresses and in the ids of runs.
DAGS = {"harvest": HARVEST, "publish": PUBLISH, "unpublish": UNPUBLISH}

#: Seconds after which no further request of one submission goes out. One that hangs takes some more; the
#: web server gives up a page after 30.
SECONDS = 10.0

TOKEN = re.compile(r"\A[0-9a-f]{16}\Z")

State = HarvestTrigger.State

#: What can be sent again, as far as is known.
NOT_STARTED = (State.REFUSED, State.ABSENT)


class NotConfigured(Exception):
    """AIRFLOW_HOSTS has no such host, so that nothing can be asked there."""


class SentAlready(Exception):
    """This form was sent before, for another version: what would come of both is not what it says."""


@dataclass(frozen=True, slots=True)
class Order:
    """A run that is to be started: for which collection and, to publish or unpublish, which version."""

    collection_id: int
    version: str = ""


def make_token() -> str:
    """Return what tells the runs of one submission from all others: made when its form is shown."""
    return secrets.token_hex(8)


def run_id(action: str, collection_id: int, token: str) -> str:
    """Return the id of a run in Airflow, the same however often its form is sent."""
    return f"manual__avram-{action}-{collection_id}-{token}"


def trigger(
    action: str, orders: Sequence[Order], host: str, token: str, user: User | None
) -> list[HarvestTrigger]:
    """Start a run for each order, unless this form has started it before. Return the triggers as they
    are by then, in the same order.

    Once the host does not answer, or the time is up, nothing more goes out: the rest did not start.

    Raises:
        NotConfigured: the host is none of AIRFLOW_HOSTS.
        SentAlready: this form has started one of them with another conf. Nothing was sent.
        ValueError: more orders than one submission may have, or a token of another form.
    """
    client = _client_of(host)
    if len(orders) > limits.MAX_TRIGGERED or not TOKEN.fullmatch(token):
        raise ValueError(f"{len(orders)} orders, token {token[:20]!r}")
    dag_id, now = DAGS[action], timezone.now()
    ids = [run_id(action, order.collection_id, token) for order in orders]
    confs = [make_conf(dag_id, order.collection_id, order.version) for order in orders]
    of_dag = HarvestTrigger.objects.filter(hostname=host, dag_id=dag_id)
    known = {made.dag_run_id: made for made in of_dag.filter(dag_run_id__in=ids)}
    for dag_run_id, conf in zip(ids, confs, strict=True):
        if dag_run_id in known:
            _check_same(known[dag_run_id], conf)
    submission = _Submission(client)
    triggers = []
    for index, (order, dag_run_id, conf) in enumerate(zip(orders, ids, confs, strict=True)):
        why_not = submission.why_not()
        made, new = HarvestTrigger.objects.get_or_create(
            hostname=host,
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            defaults={
                "collection_id": order.collection_id,
                "user": user,
                # Airflow 2 has one run of a DAG at a time, and starts none in the future.
                "logical_date": now - timedelta(microseconds=len(orders) - index),
                "dag_run_conf": conf,
                "state": State.ABSENT if why_not else State.SENT,
                "stderr": why_not,
            },
        )
        _check_same(made, conf)  # by now: the same form may be sent twice at once
        if new and not why_not:
            submission.send(made)
        triggers.append(made)
    return triggers


def send_again(triggers: Sequence[HarvestTrigger]) -> None:
    """Send those again that did not start, each under the id it had: should the first request have come
    through after all, Airflow refuses the second, and the first's run is found.

    Once a host does not answer, or the time is up, the rest stay as they are.

    Raises:
        NotConfigured: a host is none of AIRFLOW_HOSTS any more. Nothing was sent.
    """
    submissions = {made.hostname: _Submission(_client_of(made.hostname)) for made in triggers}
    for made in triggers:
        submission = submissions[made.hostname]
        if submission.why_not():
            continue
        # Of two that do this at once, one sends. The date may be what another run had.
        mine = HarvestTrigger.objects.filter(pk=made.pk, state__in=NOT_STARTED).update(
            state=State.SENT, stdout="", stderr="", logical_date=timezone.now()
        )
        made.refresh_from_db()
        if mine:
            submission.send(made)


def look_again(made: HarvestTrigger) -> None:
    """Ask Airflow what became of a trigger whose answer is missing, and store that.

    Raises:
        NotConfigured: its host is none of AIRFLOW_HOSTS any more.
    """
    _find(_client_of(made.hostname), made, gettext("Airflow knows no such run."))


class _Submission:
    """Requests to one host, one after the other, until it does not answer or the time is up."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._deadline = time.monotonic() + SECONDS
        self._answers = True

    def why_not(self) -> str:
        """Return why nothing more goes out, or ""."""
        if not self._answers:
            return gettext("Not sent: the host had not answered before. Try again.")
        if time.monotonic() > self._deadline:
            return gettext("Not sent: the others had taken too long. Try again.")
        return ""

    def send(self, made: HarvestTrigger) -> None:
        self._answers = _send(self._client, made)
        metrics.add(metrics.TRIGGERS, state=made.state)


def _check_same(made: HarvestTrigger, conf: Mapping[str, str]) -> None:
    if made.dag_run_conf != conf:
        raise SentAlready(made.dag_run_id)


def _client_of(host: str) -> Client:
    client = airflow_api.client_of(host)
    if client is None:
        raise NotConfigured(host)
    return client


def _send(client: Client, made: HarvestTrigger) -> bool:
    """Send one request, and store the answer. Return whether there is one."""
    try:
        run = client.trigger_run(made.dag_id, made.dag_run_id, made.dag_run_conf, made.logical_date)
    except AlreadyExists as error:
        # By its id: then it is ours, of a request whose answer was lost. Or another one, of this date.
        return _find(client, made, str(error))
    except Unavailable as error:
        _store(made, State.UNKNOWN, error=str(error))
        return False
    except AirflowError as error:
        _store(made, State.REFUSED, error=str(error))
    else:
        _store(made, State.ACCEPTED, answer=_describe(run))
    return True


def _find(client: Client, made: HarvestTrigger, absent: str) -> bool:
    """Look for a trigger's run, and store what is found. Return whether Airflow answered.

    ``absent`` is what to say where there is none.
    """
    try:
        run = client.get_run(made.dag_id, made.dag_run_id)
    except NotFound:
        _store(made, State.ABSENT, error=absent)
    except AirflowError as error:
        # What had not been sent is still known not to have started.
        _store(made, State.ABSENT if made.state == State.ABSENT else State.UNKNOWN, error=str(error))
        return not isinstance(error, Unavailable)
    else:
        _store(made, State.ACCEPTED, answer=_describe(run))
    return True


def _store(made: HarvestTrigger, state: State, *, answer: str = "", error: str = "") -> None:
    """Store what became of a trigger, unless an event of its run has said meanwhile that it started."""
    rows = HarvestTrigger.objects.filter(pk=made.pk)
    if state != State.ACCEPTED:
        rows = rows.exclude(state=State.ACCEPTED)
    rows.update(state=state, stdout=answer[: limits.MAX_ANSWER], stderr=error[: limits.MAX_ANSWER])
    made.refresh_from_db()


def _describe(run: AirflowRun) -> str:
    return json.dumps(asdict(run), default=str, indent=2, ensure_ascii=False)
