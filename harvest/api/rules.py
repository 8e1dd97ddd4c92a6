"""Who may ask for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # which imports this module itself, by the settings
    from rest_framework.views import APIView


class MayView(BasePermission):
    """As in the admin: a view names the permissions that are needed in ``permissions_needed``."""

    message = "Your account may not see this: ask for the permission to view it."

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed: tuple[str, ...] = getattr(view, "permissions_needed", ())
        return bool(request.user.is_authenticated and needed and request.user.has_perms(needed))
