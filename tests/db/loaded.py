"""Which rows of a table are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db.models import Model
from django.db.models.signals import post_init

M = TypeVar("M", bound=Model)


@contextmanager
def loaded(model: type[M]) -> Iterator[list[M]]:
    """Give a list to which each row that is read as an instance is added."""
    read: list[M] = []

    def note(instance: M, **kwargs: Any) -> None:
        read.append(instance)

    post_init.connect(note, sender=model)
    try:
        yield read
    finally:
        post_init.disconnect(note, sender=model)
