"""What all our models share: a manager that asks the database which jobs are written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import models

from django_jobs.conf import primary_alias

_Model = TypeVar("_Model", bound=type[models.Model])
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


def in_words(name: Any, names: Any, /, **fields: Any) -> Callable[[_Model], _Model]:
    """Make a decorator that gives a model, and fields of it, the words by which people know them.

    Migrations know nothing of these: ``Meta`` and the arguments of fields would be a change of the schema to them.
    """

    def give(model: _Model) -> _Model:
        options = model._meta
        options.verbose_name = name
        options.verbose_name_plural = names
        for field_name, words in fields.items():
            options.get_field(field_name).verbose_name = words  # type: ignore[union-attr]
        return model

    return give


def with_database_defaults(model: _Model) -> _Model:
    """Give every column of a model that has a default the same one in the database; return the model.

    An insert of another release need not know a column then: neither one that is new, nor one that is no more.
    """
    for field in model._meta.local_concrete_fields:
        if field.null or field.primary_key or field.has_db_default():
            continue
        if not field.has_default() and field.blank and field.empty_strings_allowed:
            field.default = ""  # Django's own in Python, but not beside one in the database
        if field.default is dict:
            field.db_default = {}  # type: ignore[assignment]  # the stubs know of no JSON here
        elif field.has_default() and not callable(field.default):
            field.db_default = field.default
    return model
