"""The admin's theme, django-unfold: names, colours and the navigation beside every page.

Everything it needs is served from here: fonts, icons, scripts and styles are in its package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

#: Blues and greens of water, in place of the theme's purple. Text in 600 is readable on white, and
#: text in 400 and 500 on the dark ground.
PRIMARY = {
    "50": "#f0f9fb",
    "100": "#d9eef3",
    "200": "#b8dfe8",
    "300": "#86c7d6",
    "400": "#4da6bd",
    "500": "#3a9bb4",
    "600": "#1f6f88",
    "700": "#235a6e",
    "800": "#264c5c",
    "900": "#23404f",
    "950": "#122935",
}


def unfold(*, debug: bool, flower_url: str) -> dict[str, Any]:
    """Return the setting UNFOLD."""
    return {
        "SITE_TITLE": "Avram",
        "SITE_HEADER": "Avram",
        "SITE_SUBHEADER": _("Harvests"),
        "SITE_SYMBOL": "water_drop",
        "SITE_FAVICONS": [
            {
                "rel": "icon",
                "type": "image/svg+xml",
                "href": lambda request: static("harvest/icon.svg"),
            }
        ],
        "SITE_URL": None,  # There is no site but the admin.
        "SHOW_VIEW_ON_SITE": False,
        "ENVIRONMENT": [_("development"), "warning"] if debug else None,
        "DASHBOARD_CALLBACK": "harvest.admin.front.dashboard",
        "STYLES": [lambda request: static("harvest/admin.css")],
        "SCRIPTS": [
            lambda request: static("harvest/moments.js"),
            lambda request: static("harvest/names.js"),
        ],
        # Its defaults for subtle text are too pale for the contrast that WCAG asks for.
        "COLORS": {
            "primary": PRIMARY,
            "font": {
                "subtle-light": "var(--color-base-600)",
                "subtle-dark": "var(--color-base-400)",
                "default-light": "var(--color-base-700)",
                "default-dark": "var(--color-base-300)",
            },
        },
        "SIDEBAR": {"navigation": _navigation(flower_url)},
    }


def _navigation(flower_url: str) -> list[dict[str, Any]]:
    machinery = [
        {
            "title": _("Queues"),
            "icon": "stacks",
            "link": reverse_lazy("admin:harvest_queues"),
            "permission": _may_open("harvest", "queuereading"),
        },
        _list(_("Task results"), "task_alt", "django_celery_results", "taskresult"),
        _list(_("Periodic tasks"), "event_repeat", "django_celery_beat", "periodictask"),
        _list(_("Intervals"), "timer", "django_celery_beat", "intervalschedule"),
        _list(_("Crontabs"), "calendar_month", "django_celery_beat", "crontabschedule"),
    ]
    if flower_url:
        # Of the template avram/templates/unfold/helpers/app_list.html: in a tab of its own.
        machinery.append(
            {
                "title": "Flower",
                "icon": "monitoring",
                "link": flower_url,
                "external": True,
                "active": lambda request: False,  # its path may be /, which all paths begin with
            }
        )
    return [
        {
            "title": _("Harvests"),
            "items": [
                {"title": _("Front page"), "icon": "home", "link": reverse_lazy("admin:index")},
                _list(_("Runs"), "play_circle", "harvest", "harvestrun"),
                _list(_("Events"), "list_alt", "harvest", "harvestevent"),
                _list(_("Rejected messages"), "report", "harvest", "rejectedmessage"),
                _list(_("Triggers"), "bolt", "harvest", "harvesttrigger"),
            ],
        },
        {
            "title": _("Registry"),
            "items": [_list(_("Collections"), "collections_bookmark", "harvest", "collection")],
        },
        {
            "title": _("Telling people"),
            "items": [
                _list(_("Subscriptions"), "notifications", "harvest", "subscription"),
                _list(_("Notices"), "outgoing_mail", "harvest", "notice"),
            ],
        },
        {"title": _("Machinery"), "items": machinery},
        {
            "title": _("People"),
            "items": [
                _list(_("Users"), "person", "auth", "user"),
                _list(_("Groups"), "group", "auth", "group"),
                _list(_("API tokens"), "key", "authtoken", "tokenproxy"),
            ],
        },
    ]


def _list(title: Any, icon: str, app: str, model: str) -> dict[str, Any]:
    """Return a link to a model's list, for those who may open it."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_open(app, model),
    }


def _may_open(app: str, model: str) -> Callable[[HttpRequest], bool]:
    """Return the admin's own rule: who may view a list, or change what is in it."""

    def may_open(request: HttpRequest) -> bool:
        return any(request.user.has_perm(f"{app}.{verb}_{model}") for verb in ("view", "change"))

    return may_open
