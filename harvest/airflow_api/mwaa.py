"""Amazon MWAA: the same API, asked through AWS, with the credentials of this process or of a role.

Source: the reference of the MWAA API, InvokeRestApi, and botocore's model of it. An answer comes whole,
as AWS bounds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harvest.airflow_api.answers import Answer
from harvest.airflow_api.errors import Refused, Unavailable
from harvest.airflow_api.hosts import Host
from harvest.errors import MalformedMessage
from harvest.strictjson import read_json

#: Credentials of a role are taken anew so long before they end.
RENEW_BEFORE = timedelta(minutes=5)

#: AWS's own errors that don't heal by themselves.
_REFUSALS = (
    "AccessDenied",
    "AccessDeniedException",
    "ResourceNotFoundException",
    "ValidationException",
)

#: Answers of Airflow itself that are no 2xx.
_OF_AIRFLOW = ("RestApiClientException", "RestApiServerException")

MakeClient = Callable[..., Any]


def make_client(service: str, **options: Any) -> Any:
    """Return a client of AWS. A session of its own: the default one is not made for threads."""
    config = Config(
        connect_timeout=5,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    return boto3.session.Session().client(service, config=config, **options)  # type: ignore[call-overload]


class MwaaApi:
    """The REST API of one environment. ``make`` makes a client of boto3."""

    def __init__(self, host: Host, make: MakeClient = make_client) -> None:
        self._host = host
        self._make = make
        self._client: Any = None
        self._until: datetime | None = None

    def ask(
        self, method: str, path: str, query: Mapping[str, str | int], body: Mapping[str, Any] | None
    ) -> Answer:
        """Ask for a path such as ``/dags/…``. Return the answer, whatever it says.

        Raises:
            Unavailable: there is none.
            Refused: AWS does not let us, or knows no such environment.
        """
        options: dict[str, Any] = {"Name": self._host.environment, "Path": path, "Method": method}
        if query:
            options["QueryParameters"] = dict(query)
        if body is not None:
            options["Body"] = dict(body)
        try:
            answer = self._ready_client().invoke_rest_api(**options)
        except ClientError as error:
            return _of_airflow(error)
        except (BotoCoreError, OSError, RecursionError, ValueError) as error:
            raise Unavailable(f"AWS can't be asked: {type(error).__name__}") from None
        return Answer(answer.get("RestApiStatusCode") or 200, _as_data(answer.get("RestApiResponse")))

    def _ready_client(self) -> Any:
        if self._client is None or (self._until and datetime.now(UTC) >= self._until - RENEW_BEFORE):
            self._client = self._make("mwaa", **self._region(), **self._credentials())
        return self._client

    def _credentials(self) -> Mapping[str, str]:
        if not self._host.role_arn:
            return {}
        role = self._make("sts", **self._region()).assume_role(
            RoleArn=self._host.role_arn, RoleSessionName="avram"
        )["Credentials"]
        self._until = role["Expiration"]
        return {
            "aws_access_key_id": role["AccessKeyId"],
            "aws_secret_access_key": role["SecretAccessKey"],
            "aws_session_token": role["SessionToken"],
        }

    def _region(self) -> Mapping[str, str]:
        return {"region_name": self._host.region} if self._host.region else {}


def _of_airflow(error: ClientError) -> Answer:
    """Return the answer of Airflow that an error of AWS carries, or else say what AWS would not do."""
    code = error.response.get("Error", {}).get("Code", "")
    carried: Mapping[str, Any] = error.response
    status = carried.get("RestApiStatusCode")
    if code in _OF_AIRFLOW and isinstance(status, int):
        return Answer(status, _as_data(carried.get("RestApiResponse")))
    if code in _REFUSALS:
        raise Refused(f"AWS refuses: {code}") from None
    raise Unavailable(f"AWS can't be asked: {code or 'an error without a code'}") from None


def _as_data(document: Any) -> Any:
    """Return what botocore read, within the bounds of what a stranger wrote."""
    try:
        return read_json(document if isinstance(document, str) else json.dumps(document))
    except (MalformedMessage, TypeError, ValueError, RecursionError):
        return None
