"""The registry's pages, all of which are the admin's, and its API."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.utils.functional import lazy
from django.views.generic import RedirectView

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Browsers ask for it of what is no page, an answer of the API say.
    path("favicon.ico", RedirectView.as_view(url=lazy(static, str)("harvest/icon.svg"))),
    path("admin/", admin.site.urls),
    path("api/", include("harvest.api.urls")),
]
