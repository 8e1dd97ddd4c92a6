"""Harvest runs: their list is in runlist.py, the page of one in runpage.py."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from harvest import recording
from harvest.admin.runlist import RunListAdmin
from harvest.admin.runpage import RunPage
from harvest.models import HarvestRun


@admin.register(HarvestRun)
class HarvestRunAdmin(RunPage, RunListAdmin):
    """Runs as the pipeline knows them. A person changes nothing but the status, by a decision."""

    actions = ("recompute",)

    @admin.action(description=_("Recompute the status from the events"), permissions=["reconcile"])
    def recompute(self, request: HttpRequest, queryset: QuerySet[HarvestRun]) -> None:
        run_ids: Iterable[int] = queryset.values_list("pk", flat=True)
        runs = [recording.mark_stale(run_id) for run_id in run_ids]
        self.message_user(
            request,
            ngettext("%d run is up to date.", "%d runs are up to date.", len(runs)) % len(runs),
            messages.SUCCESS,
        )
