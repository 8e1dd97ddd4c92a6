"""What can come of asking Airflow, other than an answer. None says anything of a run but NotFound."""

from __future__ import annotations

from datetime import timedelta


class AirflowError(Exception):
    """Airflow gave no answer that could be used. The text says why, and nothing secret."""

    #: The word by which it is counted.
    outcome = "unavailable"


class NotFound(AirflowError):
    """Airflow says that it knows no such run, or no such DAG."""

    outcome = "not_found"


class AlreadyExists(AirflowError):
    """Airflow has a run of this id, or of this logical date, already."""

    outcome = "already_exists"


class Refused(AirflowError):
    """Airflow, or what stands before it, would not do this: asking again won't help by itself."""

    outcome = "refused"


class Unavailable(AirflowError):
    """Nothing was learned: no answer, a late or a large one, or one that is not of Airflow's API.

    ``retry_after`` is for how long Airflow wants to be left alone, where it says so.
    """

    def __init__(self, detail: str, retry_after: timedelta | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
