"""Fields of our own words: priorities, job ids, names to choose from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

from rest_framework import serializers

from django_jobs.engine.json_storage import clean_text
from django_jobs.statuses import Priority


class Option(NamedTuple):
    """One line of an HTML select, as the REST framework's template reads it."""

    value: str
    display_text: str
    disabled: bool = False
    start_option_group: bool = False
    end_option_group: bool = False


class PriorityField(serializers.Field[Any, Any, Any, Any]):
    """A priority's label or number; shown as the label."""

    default_error_messages = {"invalid": f"Use one of {', '.join(Priority.labels)}."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "select.html"})
        self.allow_blank = not kwargs.get("required", True)
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        value = super().get_value(dictionary)
        return serializers.empty if value == "" and serializers_html(dictionary) else value

    def iter_options(self) -> Iterator[Option]:
        yield from (Option(label, label) for label in reversed(Priority.labels))

    def to_internal_value(self, data: Any) -> int:
        try:
            return int(Priority.parse(data))
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: Any) -> str:
        return str(Priority(value).label)


class JobIdsField(serializers.Field[Any, Any, Any, Any]):
    """A list of job ids, or a single one; in a form separated by commas or blanks."""

    default_error_messages = {"invalid": "Give a job id or a list of them."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "input.html", "input_type": "text"})
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        if isinstance(data, str):
            return [part for part in re.split(r"[\s,]+", data) if part]
        if isinstance(data, list) and all(isinstance(item, str) for item in data):
            return data
        raise serializers.ValidationError(self.error_messages["invalid"], code="invalid")

    def to_representation(self, value: Any) -> Any:
        return value


class ObjectField(serializers.JSONField):
    """A JSON object; in a form its text, and in a form or a query an object's text stands for it."""

    default_error_messages = {"object": "Give an object (a dict), or nothing."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "textarea.html", "rows": 12})
        kwargs.setdefault("initial", {})
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        value = super().get_value(dictionary)
        # So the REST framework marks what comes from a form.
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
    """One of a few words; for what is only shown."""

    def __init__(self, *, words: list[str], **kwargs: Any) -> None:
        self.words = words
        super().__init__(**kwargs)


class NameField(serializers.CharField):
    """A name, which a form lets people choose among those that ``options`` gives for the user.

    If they are more than ``at_most``, the form offers so many, and any other may be typed.
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
        request = self.context.get("request")
        return self.options(request.user) if request is not None else []

    @property
    def is_cut(self) -> bool:
        return self.at_most is not None and len(self.offered) > self.at_most

    def iter_options(self) -> Iterator[Option]:
        yield from (Option(*option) for option in self.offered[: self.at_most])


def serializers_html(dictionary: Any) -> bool:
    """Whether the data come from a form."""
    return hasattr(dictionary, "getlist")


def refuse_unknown(data: Any, known: Any) -> None:
    """ValidationError that names the fields which nobody reads: a mistyped one would otherwise be ignored."""
    unknown = [str(name) for name in data if name not in known]
    if unknown:
        text = f"There is no such field; known are {', '.join(known)}."
        raise serializers.ValidationError({clean_text(name, 100): [text] for name in unknown[:50]})
