"""The Django project. Loads the Celery app, so that tasks sent from the web use its broker."""

from celery_app import app

__all__ = ["app"]
