"""The Django app."""

from django.apps import AppConfig


class HarvestConfig(AppConfig):
    name = "harvest"
    verbose_name = "Harvests"

    def ready(self) -> None:
        """Register the system checks, which need the settings."""
        from harvest import checks  # noqa: F401
