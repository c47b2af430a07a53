"""What all our models share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet

from django_jobs.conf import organization_model_name, primary_alias
from django_jobs.statuses import Priority

# What models ask of the engine, which stands above them. :mod:`django_jobs.apps` fills it in.


class BatchVerbs(Protocol):
    """What a batch can do."""

    def submit_to_batch(self, batch: Any, job_type: Any, given: Mapping[str, Any]) -> Any:
        """Submit a job of the batch."""

    def submit_many(self, batch: Any, submissions: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Submit many jobs of the batch."""

    def close(self, batch: Any) -> None:
        """Take no more jobs."""

    def leave(self, batch: Any, raised: type[BaseException] | None) -> None:
        """Close the batch at the end of a block, and cancel it if that raised."""


class Hooks:
    """Who knows a user's organizations (None stands for all of them), what is wrong with a handler's dotted path, which
    parameters a type has (None: any object), and where to get what a batch does, which is asked when it is needed.
    """

    organizations_seen_by: Callable[[Any], QuerySet[Any] | None]
    path_problem: Callable[[str], str | None]
    parameter_names: Callable[[str], frozenset[str] | None]
    batch_verbs: Callable[[], BatchVerbs]


hooks: Final = Hooks()


# What all our models share: a manager that asks the database which jobs are written to.


_Model = TypeVar("_Model", bound=type[models.Model])
_M_co = TypeVar("_M_co", bound=models.Model, covariant=True)


class PrimaryManager(models.Manager[_M_co]):
    """Reads where jobs are written, since a replica may lag behind the truth."""

    def get_queryset(self) -> models.QuerySet[_M_co]:
        """Return all rows of the database that jobs are written to."""
        return self._queryset_class(model=self.model, using=primary_alias(), hints=self._hints)  # type: ignore[attr-defined,no-any-return]


class RowId:
    """How ids such as ``JOB-2026-00001`` are made: of a word, the year in which the row was made, and its key."""

    def __init__(self, word: str) -> None:
        self._word = word
        #: No moment has a year 0 or one of five digits, and databases cannot be asked for it.
        self._pattern = re.compile(rf"{word}-(?!0000)(\d{{4}})-(\d{{5,19}})\Z", re.ASCII)

    def format(self, pk: int, year: int) -> str:
        """Return the id of a primary key and the year of its row."""
        return f"{self._word}-{year}-{pk:05d}"

    def parse(self, text: object) -> tuple[int, int] | None:
        """Return (primary key, year) of an id; None when the value is none."""
        match = self._pattern.match(text) if isinstance(text, str) else None
        if match is None:
            return None
        pk = int(match[2])
        # Only the canonical spelling is an id, and no database holds a larger key.
        return (pk, int(match[1])) if f"{pk:05d}" == match[2] and pk < 2**63 else None


class TenantRows(models.QuerySet[_M_co]):
    """Look-ups of rows that belong to organizations and have ids."""

    ids: RowId

    def by_id(self, row_id: str) -> _M_co:
        """Return the row with this id. Raises the model's ``DoesNotExist`` when there is none."""
        parsed = self.ids.parse(row_id)
        model: Any = self.model
        row: Any = None if parsed is None else self.get(pk=parsed[0])
        if parsed is None or row.created_at.year != parsed[1]:
            raise model.DoesNotExist(f"There is no {row_id!r}.")
        matching: _M_co = row
        return matching

    def visible_to(self, user: Any) -> Self:
        """Return the rows of the organizations whose jobs the access policy lets this user know of."""
        organizations = hooks.organizations_seen_by(user)
        if organizations is None:
            return self.all()
        # Part of this queryset's statement, whichever database that is sent to.
        return self.filter(organization__in=organizations.using(None).values("pk"))


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


# Keys of the host's own rows, which several models have.


def organization_key(**options: Any) -> models.ForeignKey[Any, Any]:
    """Return the key of an organization, which may be deleted by now: the database does not look after it."""
    return models.ForeignKey(
        organization_model_name(),
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
        **options,
    )


def user_key(**options: Any) -> models.ForeignKey[Any, Any]:
    """Return the key of a user, which is emptied when the user is deleted."""
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", db_index=False, **options
    )


# Column types of our own.


if TYPE_CHECKING:
    _SmallIntegerField = models.SmallIntegerField[Any, int]
    _CharField = models.CharField[Any, str | None]
    _TextColumn = models.CharField[Any, str]
else:  # generic for the type checker only
    _SmallIntegerField = models.SmallIntegerField
    _CharField = models.CharField
    _TextColumn = models.CharField


class PriorityField(_SmallIntegerField):
    """A :class:`Priority`, stored as a small integer. It takes the word and the number everywhere."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("choices", Priority.choices)
        super().__init__(*args, **kwargs)

    def to_python(self, value: Any) -> Any:
        """Return the Priority that a word or a number names; ValidationError for anything else."""
        if value is None or value == "":
            return None
        try:
            return Priority.parse(value)
        except ValueError as error:
            accepted = ", ".join(Priority.words())
            text = f"{value!r} is not a priority; use one of {accepted}."
            raise ValidationError(text, code="invalid_choice") from error

    def get_prep_value(self, value: Any) -> Any:
        """Return the number to store; ValueError for what is no priority."""
        try:
            parsed = self.to_python(value)
        except ValidationError as error:
            raise ValueError(error.messages[0]) from error
        return None if parsed is None else int(parsed)

    def deconstruct(self) -> Any:
        """Leave the choices out of migrations, which need none when a label changes."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("choices", None)
        return name, path, args, kwargs


class WordField(_TextColumn):
    """A column for one of some words. Migrations do not know the words: a new one is no change of the schema."""

    def deconstruct(self) -> Any:
        name, _path, args, options = super().deconstruct()
        options.pop("choices", None)
        return name, "django.db.models.CharField", args, options


class WorkedOffField(_CharField):
    """The value of the field ``of`` that something has followed up; None while nobody knows.

    A new row needs no following up. Whoever saves an old row leaves this as it is, since the instance may have been
    read long ago: only ``update()`` writes it.
    """

    def __init__(self, *args: Any, of: str, **kwargs: Any) -> None:
        self.of = of
        kwargs |= {"null": True, "blank": True, "default": "", "db_default": "", "editable": False}
        super().__init__(*args, **kwargs)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return the other field's value for a new row, and for an old one the column itself."""
        if not add:
            return models.F(self.attname)
        value = getattr(model_instance, self.of)
        setattr(model_instance, self.attname, value)
        return value

    def deconstruct(self) -> Any:
        """Name the other field, too."""
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"of": self.of}
