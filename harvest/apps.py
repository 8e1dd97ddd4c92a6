"""The Django app."""

from django.apps import AppConfig


class HarvestConfig(AppConfig):
    name = "harvest"
    verbose_name = "Harvests"

    def ready(self) -> None:
        """Register the system checks, and say which Airflows may be asked: both need the settings."""
        from django.conf import settings

        from harvest import airflow_api, checks  # noqa: F401

        airflow_api.configure(settings.AIRFLOW_HOSTS)
