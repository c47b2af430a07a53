"""A filter of the jobs list that somebody keeps under a name."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import models

from django_jobs.models.base import StoredModel, with_database_defaults

#: Characters of a name and of a query string.
MAX_NAME: Final = 60
MAX_QUERY: Final = 1_000


@with_database_defaults
class SavedFilter(StoredModel):
    """A query string of the jobs list. What it asks for is checked anew each time that somebody follows it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    name = models.CharField(max_length=MAX_NAME)
    query = models.CharField(max_length=MAX_QUERY)
    #: Whether others are offered it, too.
    is_shared = models.BooleanField(default=False)

    class Meta:
        ordering = ["name", "id"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="djobs_saved_filter_once"),
        ]

    def __str__(self) -> str:
        return self.name
