"""The addresses below /api/."""

from django.urls import path, re_path, register_converter
from django.urls.converters import IntConverter
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import IsAuthenticated

from harvest.api import views


class IdConverter(IntConverter):
    """A number that can be an id: databases take no larger one."""

    regex = "[0-9]{1,18}"


register_converter(IdConverter, "id")

app_name = "api"
urlpatterns = [
    path("runs/", views.RunViews.as_view({"get": "list"}), name="runs"),
    path("runs/<id:pk>/", views.RunViews.as_view({"get": "retrieve"}), name="run"),
    path("runs/<id:run_id>/events/", views.EventsOfRunViews.as_view({"get": "list"}), name="run-events"),
    path("events/", views.EventViews.as_view({"get": "list"}), name="events"),
    path("events/<id:pk>/", views.EventViews.as_view({"get": "retrieve"}), name="event"),
    path("health/", views.HealthView.as_view(), name="health"),
    path("schema/", SpectacularAPIView.as_view(permission_classes=[IsAuthenticated]), name="schema"),
    re_path("^", views.NothingView.as_view()),
]
