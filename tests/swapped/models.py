"""Tenants as hosts have them: with keys, id fields, members and states of their own."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models


class Living(models.Manager[Any]):
    """Leaves out what was deleted softly."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().filter(deleted_at__isnull=True)


class Client(models.Model):
    """What tenants have in common."""

    state = models.CharField(max_length=10, default="paying")
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = Living()
    everything: models.Manager[Any] = models.Manager()

    class Meta:
        abstract = True


class Tenant(Client):
    """Known by its ``slug``, keyed by a UUID, suspended by its ``state``."""

    key = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(unique=True)

    def __str__(self) -> str:
        return self.slug


class Place(Client):
    """The base of a model that inherits its key."""

    code = models.CharField(max_length=20, unique=True)

    def __str__(self) -> str:
        return self.code


class Branch(Place):
    """A tenant whose key and id field lie in its parent's table."""

    street = models.CharField(max_length=50, blank=True)


class Seat(models.Model):
    """Who belongs to which tenant; its reverse name is the one that everybody chooses."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    tenant = models.ForeignKey(
        settings.DJANGO_JOBS_ORGANIZATION_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    is_manager = models.BooleanField(default=False)

    objects: models.Manager[Any] = models.Manager()

    def __str__(self) -> str:
        return f"{self.user} at {self.tenant}"
