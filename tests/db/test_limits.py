"""The columns have the room that the parser lets a message take."""

from __future__ import annotations

import pytest
from django.db.models import CharField, JSONField, TextField

from harvest import limits
from harvest.errors import Malformed
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage

#: What a message fills, and the longest that the parser lets through.
LENGTHS = {
    (HarvestRun, "dag_id"): limits.MAX_ID,
    (HarvestRun, "dag_run_id"): limits.MAX_ID,
    (HarvestRun, "host"): limits.MAX_HOST,
    (HarvestRun, "airflow_state"): limits.MAX_STATE,
    (HarvestRun, "failure_reason"): limits.MAX_REASON,
    (HarvestRun, "airflow_error"): limits.MAX_REASON,
    (HarvestRun, "lost_reason"): limits.MAX_REASON,
    (HarvestRun, "target_version"): limits.MAX_VERSION,
    (HarvestEvent, "message_id"): limits.MAX_MESSAGE_ID,
    (HarvestEvent, "host"): limits.MAX_HOST,
    (HarvestEvent, "task_id"): limits.MAX_ID,
    (HarvestEvent, "version"): limits.MAX_VERSION,
}

#: PostgreSQL's bound of an entry of an index, and the bytes of UTF-8's longest character.
MAX_INDEXED = 2704
LONGEST_CHARACTER = 4


@pytest.mark.parametrize(("model", "name"), LENGTHS)
def test_column_is_as_long_as_the_limit(model: type[HarvestRun], name: str) -> None:
    field = model._meta.get_field(name)

    assert isinstance(field, CharField)
    assert field.max_length == LENGTHS[model, name]


def test_every_column_with_a_length_has_its_limit() -> None:
    bounded = {
        (model, field.name)
        for model in (HarvestRun, HarvestEvent)
        for field in model._meta.get_fields()
        if isinstance(field, CharField) and not field.choices and field.name != "status_note"
    }

    assert bounded == set(LENGTHS)


def test_every_reason_fits() -> None:
    field = RejectedMessage._meta.get_field("reason")

    assert isinstance(field, CharField)
    assert max(map(len, Malformed)) <= (field.max_length or 0)


def test_free_text_has_no_length() -> None:
    for name in ("body", "error"):
        assert isinstance(RejectedMessage._meta.get_field(name), TextField)
    for name in ("rikolti_message", "dag_run_conf", "sns_message"):
        assert isinstance(HarvestEvent._meta.get_field(name), JSONField)


def test_identity_of_a_run_fits_an_index() -> None:
    assert 2 * limits.MAX_ID * LONGEST_CHARACTER + limits.MAX_HOST <= MAX_INDEXED
