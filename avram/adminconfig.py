"""Django's admin, whose pages are loaded with the URLs. A worker shows none, and holds 20 MB less until
it writes a notice, which has the address of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core.checks import CheckMessage, Tags, register


class LazyAdminConfig(SimpleAdminConfig):
    def ready(self) -> None:
        register(check_dependencies, Tags.admin)
        register(check_pages, Tags.admin)


def check_pages(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check the pages as Django does, and load them before: checks run in no certain order."""
    admin.autodiscover()
    return check_admin_app(app_configs, **kwargs)
