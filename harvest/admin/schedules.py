"""Schedules: the pages of django-celery-beat, in the theme."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
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

admin.site.unregister((ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule))


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The choice of a task, whose choices are what the Celery app has registered."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    """The form of a periodic task. Two fields are none of the model's: the theme can't see to them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regtask"].widget = TaskSelect()
        self.fields["task"].widget = UnfoldAdminTextInputWidget()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ModelAdmin, beat.PeriodicTaskAdmin):
    form = PeriodicTaskForm


class PeriodicTaskInline(TabularInline, beat.PeriodicTaskInline):
    pass


class ScheduleAdmin(ModelAdmin):
    """A schedule, and the tasks that go by it."""

    inlines = (PeriodicTaskInline,)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ScheduleAdmin, beat.CrontabScheduleAdmin):
    pass


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(ScheduleAdmin, beat.ClockedScheduleAdmin):
    pass


admin.site.register((IntervalSchedule, SolarSchedule), ScheduleAdmin)
