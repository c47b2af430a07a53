"""Serializer fields for what is special here: priorities, job ids, names to choose from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple

from rest_framework import serializers

from django_jobs.engine.json_storage import clean_text
from django_jobs.statuses import Priority
from django_jobs.texts import say

#: What is said of a parameter that is given twice and has one value.
GIVE_ONE: Final = say("Give one value.", code="given_twice")


class Option(NamedTuple):
    """One line of an HTML select, as the REST framework's template reads it."""

    value: str
    display_text: str
    disabled: bool = False
    start_option_group: bool = False
    end_option_group: bool = False


class PriorityInput(serializers.Field[Any, Any, Any, Any]):
    """Accept a priority's word or number; show the word."""

    default_error_messages = {"invalid": f"Use one of {', '.join(Priority.words())}."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "select.html"})
        self.allow_blank = not kwargs.get("required", True)
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        value = super().get_value(dictionary)
        return serializers.empty if value == "" and is_form(dictionary) else value

    def iter_options(self) -> Iterator[Option]:
        """Yield what the select of a form offers, the most urgent first."""
        yield from (Option(word, word) for word in reversed(Priority.words()))

    def to_internal_value(self, data: Any) -> int:
        try:
            return int(Priority.parse(data))
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: Any) -> str:
        return Priority(value).word


class SwitchField(serializers.BooleanField):
    """Accept true or false; in a form people choose one of the two.

    A checkbox that is not ticked sends nothing, so that the REST framework takes a form without the field for a no. But
    it has the field's default where a client sends its fields as a form.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "select.html"})
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        is_missing = is_form(dictionary) and self.field_name not in dictionary
        return serializers.empty if is_missing else super().get_value(dictionary)

    def iter_options(self) -> Iterator[Option]:
        """Yield the two words that a form offers. A no comes first: the REST framework marks none as chosen for it."""
        yield from (Option(word, word) for word in ("False", "True"))


class JobIdsField(serializers.Field[Any, Any, Any, Any]):
    """Accept a list of job ids or a single one; in a form they are separated by commas or blanks."""

    default_error_messages = {"invalid": "Give a job id or a list of them."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "input.html", "input_type": "text"})
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        """Return what was sent. Of a form's field that is repeated the REST framework would take the last one alone.

        A blank text is a field of a form that nobody filled in. Elsewhere it is an id, and none that there is: who
        sends it has lost the job that is to be waited for.
        """
        if not is_form(dictionary):
            value = super().get_value(dictionary)
            return [value] if isinstance(value, str) and not value.replace(",", " ").strip() else value
        values = dictionary.getlist(self.field_name)
        return [*values] if len(values) > 1 else super().get_value(dictionary)

    def to_internal_value(self, data: Any) -> list[str]:
        if isinstance(data, str):
            return [part for part in re.split(r"[\s,]+", data) if part]
        if isinstance(data, list) and all(isinstance(item, str) for item in data):
            return data
        raise serializers.ValidationError(self.error_messages["invalid"], code="not_a_list")

    def to_representation(self, value: Any) -> Any:
        return value


class ObjectField(serializers.JSONField):
    """Accept a JSON object, or its text where it comes from a form or a query. An empty text counts as not given."""

    default_error_messages = {"object": "Give an object (a dict), or nothing."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "textarea.html", "rows": 12})
        kwargs.setdefault("initial", {})
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        value = super().get_value(dictionary)
        # The REST framework marks what comes from a form with this attribute.
        is_blank = getattr(value, "is_json_string", False) and not str(value).strip()
        return serializers.empty if is_blank else value

    def to_internal_value(self, data: Any) -> Any:
        try:
            value: Any = super().to_internal_value(data)
        except RecursionError:
            self.fail("invalid")
        if not (value is None or isinstance(value, dict)):
            self.fail("object")
        return value


class WordField(serializers.CharField):
    """Show one of a few words. It is for answers alone: it does not check what comes in."""

    def __init__(self, *, words: list[str], **kwargs: Any) -> None:
        self.words = words
        super().__init__(**kwargs)


class NameField(serializers.CharField):
    """Accept a name, and let people choose it in a form among those that ``options`` gives for the user.

    A form offers at most ``at_most`` of them; where there are more, any other may be typed.
    """

    def __init__(
        self, *, options: Callable[[Any], list[tuple[str, str]]], at_most: int | None = None, **kwargs: Any
    ) -> None:
        self.options = options
        self.at_most = at_most
        kwargs.setdefault("style", {"template": "django_jobs/api/name.html"})
        super().__init__(**kwargs)

    @cached_property
    def offered(self) -> list[tuple[str, str]]:
        """Return all that ``options`` gives for the request's user, as (value, text); empty without a request."""
        request = self.context.get("request")
        return self.options(request.user) if request is not None else []

    @property
    def is_cut(self) -> bool:
        """Return whether there are more names than the form offers."""
        return self.at_most is not None and len(self.offered) > self.at_most

    def iter_options(self) -> Iterator[Option]:
        """Yield the names that the form offers."""
        yield from (Option(*option) for option in self.offered[: self.at_most])


def is_form(data: Any) -> bool:
    """Return whether the data come from a form."""
    return hasattr(data, "getlist")


def refuse_repeated(data: Any, several: Any) -> None:
    """Raise ValidationError when a field of a form is sent twice that is not among ``several``.

    To choose one of the values would be a guess.
    """
    repeated = [str(name) for name, values in data.lists() if len(values) > 1 and name not in several]
    if repeated:
        raise serializers.ValidationError({clean_text(name, 100): [GIVE_ONE] for name in repeated[:50]})


def refuse_unknown(data: Any, known: Any) -> None:
    """Raise ValidationError when a name in ``data`` is not among the ``known`` ones.

    Otherwise a mistyped field or parameter would be ignored. The error names at most 50 of them.
    """
    unknown = [str(name) for name in data if name not in known]
    if unknown:
        text = say("There is no such field; known are %(known)s.", code="unknown_field", known=", ".join(known))
        raise serializers.ValidationError({clean_text(name, 100): [text] for name in unknown[:50]})


def check_parameters(parameters: Any, known: Any) -> None:
    """Raise ValidationError for a parameter of an address that is not among the ``known`` ones, or is given twice."""
    refuse_unknown(parameters, known)
    refuse_repeated(parameters, ())
