"""The policy of a host with its own tenants: the five basic questions, nothing else."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_jobs import AccessPolicy, get_organization_model
from tests.swapped.models import Seat


class SeatPolicy(AccessPolicy):
    """By :class:`~tests.swapped.models.Seat`."""

    def organizations_of(self, user: Any) -> QuerySet[Any]:
        return get_organization_model()._default_manager.filter(memberships__user_id=user.pk)

    def is_member(self, user: Any, organization: Any) -> bool:
        return bool(Seat.objects.filter(user_id=user.pk, tenant=organization).exists())

    def is_organization_admin(self, user: Any, organization: Any) -> bool:
        return bool(Seat.objects.filter(user_id=user.pk, tenant=organization, is_manager=True).exists())

    def is_system_admin(self, user: Any) -> bool:
        return bool(user.is_superuser)

    def is_active(self, organization: Any) -> bool:
        return bool(organization.state == "paying")
