"""Amazon MWAA, against botocore's stubber: the answers are those that AWS documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from harvest.airflow_api import AlreadyExists, Client, Host, Kind, NotFound, Refused, Unavailable
from harvest.airflow_api.mwaa import MwaaApi, make_client
from tests.airflow_server import AirflowServer

DAG, RUN = "harvest_collection", "manual__2026-11-24T05:21:34+00:00"
PATH = "/dags/harvest_collection/dagRuns/manual__2026-11-24T05%3A21%3A34%2B00%3A00"
ADDRESS = "https://1234.c1.us-west-2.airflow.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/avram"
FAR = datetime(2100, 1, 1, tzinfo=UTC)


class Aws:
    """Makes clients that answer what was ordered, and keeps how each was made."""

    def __init__(self) -> None:
        self.made: list[tuple[str, dict[str, Any]]] = []
        self.mwaa: Any = boto3.client("mwaa", region_name="us-west-2")
        self.sts: Any = boto3.client("sts", region_name="us-west-2")
        self.of_mwaa, self.of_sts = Stubber(self.mwaa), Stubber(self.sts)

    def make(self, service: str, **options: Any) -> Any:
        self.made.append((service, options))
        return getattr(self, service)

    def client(self, region: str = "", role_arn: str = "") -> Client:
        host = Host(ADDRESS, Kind.MWAA, environment="rikolti", region=region, role_arn=role_arn)
        return Client(host, MwaaApi(host, self.make))

    def answers(self, status: int, data: Any, **expected: Any) -> None:
        answer = {"RestApiStatusCode": status, "RestApiResponse": data}
        asked = {"Name": "rikolti", "Path": PATH, "Method": "GET", **expected}
        self.of_mwaa.add_response("invoke_rest_api", answer, asked)

    def fails(self, code: str, **modeled: Any) -> None:
        self.of_mwaa.add_client_error("invoke_rest_api", code, "why", modeled_fields=modeled)


@pytest.fixture
def aws() -> Iterator[Aws]:
    aws = Aws()
    with ExitStack() as stack:
        stack.enter_context(aws.of_mwaa)
        stack.enter_context(aws.of_sts)
        yield aws
        aws.of_mwaa.assert_no_pending_responses()
        aws.of_sts.assert_no_pending_responses()


@pytest.fixture
def run(airflow_server: AirflowServer) -> dict[str, Any]:
    return airflow_server.add(RUN)


def test_get_run(aws: Aws, run: dict[str, Any]) -> None:
    aws.answers(200, run)

    assert aws.client(region="us-west-2").get_run(DAG, RUN).state == "success"
    assert aws.made == [("mwaa", {"region_name": "us-west-2"})]


def test_list_runs(aws: Aws, run: dict[str, Any]) -> None:
    since, until = datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)
    query = {
        "start_date_gte": "2026-11-24T00:00:00+00:00",
        "start_date_lte": "2026-11-25T00:00:00+00:00",
        "order_by": "start_date",
        "limit": 100,
    }
    path = "/dags/harvest_collection/dagRuns"
    for offset, name in enumerate((RUN, "next")):
        page = {"dag_runs": [{**run, "dag_run_id": name}], "total_entries": 2}
        aws.answers(200, page, Path=path, QueryParameters={**query, "offset": offset})
    by_end = {key.replace("start", "end"): value for key, value in query.items()}
    by_end |= {"order_by": "end_date", "offset": 0}
    aws.answers(200, {"dag_runs": [run], "total_entries": 1}, Path=path, QueryParameters=by_end)

    listed = aws.client().list_runs(DAG, since, until)

    assert [run.dag_run_id for run in listed] == [RUN, "next"]


def test_trigger_run(aws: Aws, run: dict[str, Any]) -> None:
    body = {"dag_run_id": RUN, "logical_date": "2026-11-24T05:21:34+00:00", "conf": {"a": "b"}}
    path = "/dags/harvest_collection/dagRuns"
    aws.answers(200, {**run, "state": "queued"}, Path=path, Method="POST", Body=body)
    conflict = {"detail": "DAGRun already exists", "status": 409, "title": "Conflict"}
    aws.fails("RestApiClientException", RestApiStatusCode=409, RestApiResponse=conflict)
    client, date = aws.client(), datetime(2026, 11, 24, 5, 21, 34, tzinfo=UTC)

    assert client.trigger_run(DAG, RUN, {"a": "b"}, date).state == "queued"
    with pytest.raises(AlreadyExists):
        client.trigger_run(DAG, RUN, {"a": "b"}, date)


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (404, f"DAGRun with DAG ID: '{DAG}' and DagRun ID: '{RUN}' not found", NotFound),
        (404, "Not Found", Unavailable),
        (400, "bad conf", Refused),
        (403, "Forbidden", Refused),
    ],
)
def test_error_of_airflow(aws: Aws, status: int, detail: str, error: type[Exception]) -> None:
    answer = {"detail": detail, "status": status}
    aws.fails("RestApiClientException", RestApiStatusCode=status, RestApiResponse=answer)

    with pytest.raises(error, match=detail[:20]):
        aws.client().get_run(DAG, RUN)


@pytest.mark.parametrize(
    ("code", "modeled", "error"),
    [
        ("RestApiServerException", {"RestApiStatusCode": 500, "RestApiResponse": {}}, Unavailable),
        ("RestApiServerException", {}, Unavailable),
        ("AccessDeniedException", {"Message": "why"}, Refused),
        ("ResourceNotFoundException", {"message": "why"}, Refused),  # of the environment
        ("ValidationException", {"message": "why"}, Refused),
        ("InternalServerException", {"message": "why"}, Unavailable),
        ("ThrottlingException", {}, Unavailable),
        ("ExpiredTokenException", {}, Unavailable),
    ],
)
def test_error_of_aws(aws: Aws, code: str, modeled: dict[str, Any], error: type[Exception]) -> None:
    aws.fails(code, **modeled)

    with pytest.raises(error):
        aws.client().get_run(DAG, RUN)


@pytest.mark.parametrize("data", [{}, {"dag_id": 1}, {"a": {"b": "c"}}])
def test_answer_that_is_none(aws: Aws, data: Any) -> None:
    aws.answers(200, data)

    with pytest.raises(Unavailable):
        aws.client().get_run(DAG, RUN)


def test_aws_that_can_t_be_reached() -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://airflow.us-west-2.amazonaws.com")

    host = Host(ADDRESS, Kind.MWAA, environment="rikolti")

    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        Client(host, MwaaApi(host, fail)).get_run(DAG, RUN)


def test_role_is_assumed_and_renewed_before_it_ends(aws: Aws, run: dict[str, Any]) -> None:
    expected = {"RoleArn": ROLE, "RoleSessionName": "avram"}
    soon = datetime.now(UTC) + timedelta(minutes=1)
    for name, ends in (("first-access-key", soon), ("second-access-key", FAR)):
        credentials = {
            "AccessKeyId": name,
            "SecretAccessKey": "s",
            "SessionToken": "t",
            "Expiration": ends,
        }
        aws.of_sts.add_response("assume_role", {"Credentials": credentials}, expected)
    for _ in range(3):
        aws.answers(200, run)
    client = aws.client(role_arn=ROLE)

    for _ in range(3):
        client.get_run(DAG, RUN)

    keys = [options["aws_access_key_id"] for service, options in aws.made if service == "mwaa"]
    assert keys == ["first-access-key", "second-access-key"]


def test_role_that_may_not_be_assumed(aws: Aws) -> None:
    aws.of_sts.add_client_error("assume_role", "AccessDenied", "why", 403)

    with pytest.raises(Refused, match="AccessDenied"):
        aws.client(role_arn=ROLE).get_run(DAG, RUN)


def test_client_has_time_outs() -> None:
    config = make_client("mwaa", region_name="us-west-2").meta.config

    assert (config.connect_timeout, config.read_timeout) == (5, 10)
    assert config.retries == {"mode": "standard", "total_max_attempts": 1}
