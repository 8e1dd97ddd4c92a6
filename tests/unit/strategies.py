"""What hypothesis draws: JSON as strangers write it, and events as Rikolti sends them."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

from hypothesis import strategies as st

from harvest.limits import MAX_FLOAT, MIN_FLOAT
from tests.factories import airflow_event, sns_body

#: Any character that a Python str can hold, NUL and unpaired surrogates among them.
any_text = st.text(st.characters(exclude_categories=()), max_size=30)

#: Text that every database stores as it is.
storable_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)

reasonable_floats = st.floats(-MAX_FLOAT / 2, MAX_FLOAT / 2).filter(
    lambda number: number == 0 or abs(number) >= MIN_FLOAT
)


def json_data(text: st.SearchStrategy[str], *, allow_nan: bool = False) -> st.SearchStrategy[Any]:
    """Draw JSON data whose strings are drawn from ``text``: all floats, or those that may be stored."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(10**38), 10**38)
        | (st.floats() if allow_nan else reasonable_floats)
        | text
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
        max_leaves=12,
    )


any_json = json_data(any_text, allow_nan=True)

_KEYS = tuple(airflow_event())

#: An Airflow event with some of its keys replaced by anything, or left out.
almost_events = st.dictionaries(st.sampled_from(_KEYS), any_json | st.just(...), max_size=3).map(
    lambda keys: airflow_event(**keys)
)


def _sns_body_with(keys: dict[str, Any]) -> str:
    return sns_body(airflow_event(), **keys)


#: Bodies of messages: text, JSON, and events that are nearly right, raw or in their envelope.
bodies: st.SearchStrategy[str] = st.one_of(
    any_text,
    any_json.map(json.dumps),
    any_json.map(sns_body),
    almost_events.map(json.dumps),
    almost_events.map(sns_body),
    st.dictionaries(
        st.sampled_from(("Type", "MessageId", "TopicArn", "Timestamp", "Message")),
        any_json | st.just(...),
        max_size=3,
    ).map(_sns_body_with),
)

moments = st.datetimes(timezones=st.just(UTC))
