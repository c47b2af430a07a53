"""What all our models share: a manager that asks the database which jobs are written to."""

from __future__ import annotations

from typing import TypeVar

from django.db import models

from django_jobs.conf import primary_alias

_M_co = TypeVar("_M_co", bound=models.Model, covariant=True)


class PrimaryManager(models.Manager[_M_co]):
    """Reads where jobs are written, since a replica may lag behind the truth."""

    def get_queryset(self) -> models.QuerySet[_M_co]:
        """Return all rows of the database that jobs are written to."""
        return self._queryset_class(model=self.model, using=primary_alias(), hints=self._hints)  # type: ignore[attr-defined,no-any-return]


class StoredModel(models.Model):
    """A model of ours: ``objects`` follows the host's routers, ``primary`` reads where jobs are written."""

    objects = models.Manager()
    primary = PrimaryManager()

    class Meta:
        abstract = True
