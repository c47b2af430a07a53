"""Who may use a route at all. The engine decides what may be done to a single job."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission

from django_jobs.engine.access import get_policy


class SystemAdminOrReadOnly(BasePermission):
    """Let everybody read, and system admins write."""

    message = "Only system admins may change job types."

    def has_permission(self, request: Any, view: Any) -> bool:
        return request.method in SAFE_METHODS or get_policy().is_system_admin(request.user)
