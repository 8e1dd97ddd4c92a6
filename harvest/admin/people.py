"""Users, groups and tokens: pages of django.contrib.auth and Django REST framework, in the theme."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import admin as auth
from django.contrib.auth.models import Group, User
from django.db.models import ForeignKey, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from rest_framework.authtoken.admin import TokenAdmin as DrfTokenAdmin
from rest_framework.authtoken.admin import TokenChangeList
from rest_framework.authtoken.models import TokenProxy
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from harvest.admin import moments, parts
from harvest.admin.careful import CarefulAdmin

admin.site.unregister((User, Group, TokenProxy))


@admin.register(User)
class UserAdmin(CarefulAdmin[User], auth.UserAdmin[User], ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(CarefulAdmin[Group], auth.GroupAdmin, ModelAdmin):
    pass


def _name_token(token: TokenProxy) -> str:
    return str(gettext("token of %s") % token.user)


# Its own text is the key, which the admin would write into titles, messages and its log.
TokenProxy.__str__ = _name_token  # type: ignore[assignment,method-assign]


@admin.register(TokenProxy)
class TokenAdmin(moments.MomentsAdmin[TokenProxy], ModelAdmin, DrfTokenAdmin):
    """Tokens of the API: each person's own, where superusers see and make those of all.

    A token is shown once, when it is made. Whoever wants another deletes it and makes a new one.
    """

    list_display = ("user", "created")
    autocomplete_fields = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """The theme's own would have the keys in its links."""
        return TokenChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[TokenProxy]:
        queryset: QuerySet[TokenProxy] = super().get_queryset(request)
        return queryset if request.user.is_superuser else queryset.filter(user=request.user.pk)

    def has_change_permission(self, request: HttpRequest, obj: TokenProxy | None = None) -> bool:
        return False

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        if not request.user.is_superuser:
            kwargs["queryset"] = User.objects.filter(username=request.user.get_username())
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def response_add(
        self, request: HttpRequest, obj: TokenProxy, post_url_continue: str | None = None
    ) -> HttpResponse:
        return parts.show_secret(
            request,
            self,
            obj.key,
            gettext("The token of %s. Copy it now: it is not shown again.") % obj.user,
            gettext("It may read what its user may view. To end it, delete it."),
        )
