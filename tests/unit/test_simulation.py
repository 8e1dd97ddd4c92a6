"""The simulation of docs/scaling.md has the consumer's own bounds."""

from __future__ import annotations

from bench import simulation
from harvest import consumer


def test_simulation_collects_as_the_consumer_does() -> None:
    assert simulation.MOST_COLLECTED == consumer.COLLECT_MESSAGES
    assert simulation.MOST_SECONDS == consumer.COLLECT_SECONDS
    assert simulation.A_PAUSE == consumer.BUSY_SECONDS
