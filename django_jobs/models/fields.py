"""Column types of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models

from django_jobs.statuses import Priority

if TYPE_CHECKING:
    _SmallIntegerField = models.SmallIntegerField[Any, int]
    _CharField = models.CharField[Any, str | None]
else:  # generic for the type checker only
    _SmallIntegerField = models.SmallIntegerField
    _CharField = models.CharField


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
