"""Schedules: the pages of django-celery-beat, in the theme and in words."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from celery.exceptions import OperationalError
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from harvest.admin import moments, parts
from harvest.admin.careful import CarefulAdmin
from harvest.queues import AwsError

admin.site.unregister((ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule))


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The choice of a task, whose choices are what the Celery app has registered."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    """The form of a periodic task. Two fields are none of the model's: the theme can't see to them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regtask"].widget = TaskSelect()
        self.fields["task"].widget = UnfoldAdminTextInputWidget()


#: Beat writes down when a task ran last every three minutes. What is later than this does not run.
LATE = timedelta(minutes=10)

#: How the names of the pipeline's own tasks begin, which an operator may run.
OUR_TASKS = "harvest."


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(CarefulAdmin[PeriodicTask], ModelAdmin, beat.PeriodicTaskAdmin):
    form = PeriodicTaskForm
    date_hierarchy = None
    list_display = ("name", "state", "words", "last_run", "next_run", "task")
    list_filter = ("enabled", "task")
    actions = ("run_now", "enable_tasks", "disable_tasks")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Those of django-celery-beat, too, are only for who may change a schedule."""
        actions: dict[str, Any] = super().get_actions(request)
        if self.has_change_permission(request):
            return actions
        return {name: action for name, action in actions.items() if name == "run_now"}

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("harvest.run_schedule") or self.has_change_permission(request)

    @admin.display(description=_("state"), ordering="enabled")
    def state(self, task: PeriodicTask) -> SafeString | str:
        if task.enabled:
            return parts.success_word(gettext("enabled"))
        return parts.warning_word(gettext("disabled"))

    @admin.display(description=_("when"))
    def words(self, task: PeriodicTask) -> SafeString | str:
        if task.crontab:
            return str(task.crontab.human_readable)
        if task.clocked:
            return moments.moment(task.clocked.clocked_time)
        return str(task.scheduler or parts.EMPTY)

    @admin.display(description=_("next run"))
    def next_run(self, task: PeriodicTask) -> SafeString | str:
        now = timezone.now()
        moment = next_run(task, now)
        if moment is None:
            return parts.EMPTY
        if moment < now - LATE:
            return parts.warning_word(gettext("overdue: does beat run?"))
        return moments.moment(max(moment, now))

    @admin.display(description=_("last run"), ordering="last_run_at")
    def last_run(self, task: PeriodicTask) -> SafeString | str:
        return moments.moment(task.last_run_at)

    @admin.action(description=_("Run now: send the task"), permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        may_all = self.has_change_permission(request)
        for task in queryset:
            try:
                if not (may_all or task.task.startswith(OUR_TASKS)):
                    raise LookupError(gettext("it is none of the pipeline's own tasks"))
                _send(task)
            except (LookupError, ValueError, OperationalError, OSError, *AwsError) as error:
                text = gettext("%(name)s is not sent: %(error)s") % {"name": task.name, "error": error}
                self.message_user(request, text, messages.ERROR)
            else:
                page = reverse("admin:django_celery_results_taskresult_changelist")
                page += "?" + urlencode({"periodic_task_name": task.name})
                words = gettext('{} is sent. <a href="{}">Its task results</a> tell how it ends.')
                text = format_html(words, task.name, page)
                self.message_user(request, text, messages.SUCCESS)


def next_run(task: PeriodicTask, now: datetime) -> datetime | None:
    """Return when beat sends a task next, by its schedule: None where it is not going to.

    One that has never run counts from when beat reads it: from now, as far as a page can know.
    """
    if not task.enabled or (task.expires and task.expires <= now):
        return None
    last = min(task.last_run_at or now, now)  # as harvest.schedule has it
    remaining = task.schedule.remaining_estimate(last)
    moment: datetime = timezone.now() + remaining  # by the clock as the schedule has just read it
    return max(moment, task.start_time) if task.start_time else moment


def _send(task: PeriodicTask) -> None:
    """Send a task as beat would.

    Raises:
        LookupError: there is no such task.
        ValueError: its arguments are no JSON.
        OperationalError, OSError, BotoCoreError, ClientError: the queue is away.
    """
    current_app.loader.import_default_modules()
    known = current_app.tasks.get(task.task)
    if known is None:
        raise LookupError(gettext("there is no task %s") % task.task)
    known.apply_async(
        json.loads(task.args or "[]"),
        json.loads(task.kwargs or "{}"),
        headers={"periodic_task_name": task.name},
        retry=False,
        **({"queue": task.queue} if task.queue else {}),
    )


class PeriodicTaskInline(TabularInline, beat.PeriodicTaskInline):
    pass


class ScheduleAdmin(moments.MomentsAdmin[Any], ModelAdmin):
    """A schedule, and the tasks that go by it."""

    inlines = (PeriodicTaskInline,)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ScheduleAdmin, beat.CrontabScheduleAdmin):
    pass


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(ScheduleAdmin, beat.ClockedScheduleAdmin):
    pass


admin.site.register((IntervalSchedule, SolarSchedule), ScheduleAdmin)
