"""Fields of bodies and of filters."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any, ClassVar, Final, get_args, get_type_hints

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.utils import html

from django_jobs.engine.insight.filter import ORGANIZATIONS, PRIORITIES, Moment, ValueKind, as_moment, organization_keys
from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.store.counting import created_between
from django_jobs.exceptions import InvalidFilter
from django_jobs.statuses import BatchState, Priority
from django_jobs.texts import code_of, said, say

# Serializer fields for what is special here: priorities, job ids, objects.


#: What a browser's form sends besides its fields.
FORM_EXTRAS: Final = frozenset({"csrfmiddlewaretoken"})
#: What is said of a parameter that is given twice and has one value.
GIVE_ONE: Final = say("Give one value.", code="given_twice")


#: A priority as it comes in, and as it is shown. The enum is inside of another schema: as it is, drf-spectacular would
#: make a component of it, whose name could be one of the host's.
PRIORITY: Final[dict[str, Any]] = dict(PRIORITIES.schema)
PRIORITY_WORD: Final[dict[str, Any]] = {"anyOf": [{"type": "string", "enum": Priority.words()}]}
JOB_ID: Final[dict[str, Any]] = {"type": "string", "examples": ["JOB-2026-00001"]}


class DescribedField:
    """A field of a serializer that says itself, in JSON Schema, what it takes and what it shows."""

    taken: dict[str, Any]
    shown: dict[str, Any]


class PriorityInput(DescribedField, serializers.Field[Any, Any, Any, Any]):
    """Accept a priority's word or number; show the word."""

    taken, shown = PRIORITY, PRIORITY_WORD
    default_error_messages = {"invalid": f"Use one of {', '.join(Priority.words())}."}

    def to_internal_value(self, data: Any) -> int:
        try:
            return int(Priority.parse(data))
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: Any) -> str:
        return Priority(value).word


class JobIdsField(DescribedField, serializers.Field[Any, Any, Any, Any]):
    """Accept a list of job ids, or one text with ids that are separated by commas or blanks."""

    taken = shown = {"oneOf": [{"type": "array", "items": JOB_ID}, JOB_ID]}
    default_error_messages = {"not_a_list": "Give a job id or a list of them."}

    def to_internal_value(self, data: Any) -> list[str]:
        if isinstance(data, str):
            # A blank text is an id, and none that there is: who sends it has lost the job that is to be waited for.
            return [part for part in re.split(r"[\s,]+", data) if part] or [data]
        if not (isinstance(data, list) and all(isinstance(item, str) for item in data)):
            self.fail("not_a_list")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class ObjectField(DescribedField, serializers.JSONField):
    """Accept an object; of a browser's form, its JSON."""

    taken = shown = {"type": "object", "additionalProperties": {}}
    default_error_messages = {"not_an_object": "Give a JSON object."}

    def get_value(self, dictionary: Any) -> Any:
        """Return what is given. A blank line of a form gives nothing."""
        value = super().get_value(dictionary)
        return empty if html.is_html_input(dictionary) and not str(value).strip() else value

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data) if getattr(data, "is_json_string", False) else data
        if not isinstance(value, dict):
            self.fail("not_an_object")
        return value


class ShownWordField(DescribedField, serializers.CharField):
    """Show one of a few words. It is for answers alone: it does not check what comes in."""

    def __init__(self, *, words: list[str], **kwargs: Any) -> None:
        self.taken = self.shown = {"anyOf": [{"type": "string", "enum": words}]}
        super().__init__(**kwargs)


def refuse_unknown(data: Any, known: Any) -> None:
    """Raise ValidationError when a name in ``data`` is not among the ``known`` ones.

    Otherwise a mistyped field or parameter would be ignored. The error names at most 50 of them.
    """
    unknown = [name for name in data if name not in known]
    if unknown:
        text = say("There is no such field; known are %(known)s.", code="unknown_field", known=", ".join(known))
        raise serializers.ValidationError({name: [text] for name in unknown[:50]})


def check_parameters(parameters: Any, known: Any) -> None:
    """Raise ValidationError for a parameter of an address that is not among the ``known`` ones, or is given twice.

    To choose one of the values would be a guess.
    """
    refuse_unknown(parameters, known)
    repeated = [name for name, values in parameters.lists() if len(values) > 1]
    if repeated:
        raise serializers.ValidationError({name: [GIVE_ONE] for name in repeated})


# Filters and form fields that lists need beyond those of django-filter.


#: Values of a parameter that may be repeated.
MAX_VALUES: Final = 100


class OneLineWidget(forms.TextInput):
    """Read every repetition of a parameter, and show one line in a form."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        values = data.getlist(name) if hasattr(data, "getlist") else data.get(name)
        return values if isinstance(values, list) or values is None else [values]

    def format_value(self, value: Any) -> Any:
        return (value[0] if value else "") if isinstance(value, list) else value


class ValueField(forms.Field):
    """A parameter of this kind of value; blank for none. One that may be repeated takes up to MAX_VALUES.

    ``taken`` says in JSON Schema what it takes. A form offers the words that the schema has.
    """

    def __init__(self, *, kind: ValueKind, **kwargs: Any) -> None:
        self.kind = kind
        one = dict(kind.schema)
        self.taken = {"type": "array", "items": one, "maxItems": MAX_VALUES} if kind.is_repeated else one
        words = [(word, word) for word in _words_of(one)]
        if kind.is_repeated:
            widget: Any = forms.SelectMultiple(choices=words) if words else OneLineWidget
        else:
            widget = forms.Select(choices=[("", "---------"), *words]) if words else forms.TextInput
        super().__init__(widget=widget, **kwargs)

    def to_python(self, value: Any) -> Any:
        if self.kind.is_repeated:
            value = [item for item in value or [] if item != ""]
            if len(value) > MAX_VALUES:
                raise ValidationError(f"At most {MAX_VALUES} values are accepted.", code="too_many")
        try:
            return self.kind.read_given(value) if value not in ("", None, []) else None
        except ValueError as error:
            raise ValidationError(str(error), code=said(error).code) from error


def _words_of(schema: Mapping[str, Any]) -> Sequence[str]:
    """Return the words that a value may be; none where it may be anything."""
    if schema.get("type") == "boolean":
        return ["true", "false"]
    words: Sequence[str] = schema.get("oneOf", [schema])[0].get("enum", [])
    return words


class ValueFilter(django_filters.Filter):  # type: ignore[misc]
    """Find the rows whose column has this value, or one of these where several may be given."""

    field_class = ValueField

    def filter(self, qs: Any, value: Any) -> Any:
        if value is None:
            return qs
        return qs.filter(**{f"{self.field_name}__in" if self.extra["kind"].is_repeated else self.field_name: value})


def read_state(text: str) -> str:
    """Return the text; ValueError when it is no state of a batch."""
    if text not in BatchState.values:
        pattern = "%(value)r is not a state; use %(choices)s."
        raise ValueError(
            say(pattern, code="not_a_state", value=clean_text(text, 50), choices=", ".join(BatchState.values))
        )
    return text


# What the filters of lists have in common: the organization, and how wrong parameters are refused.


class ListFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Find rows by the parameters of a list."""

    organization = ValueFilter(
        kind=ORGANIZATIONS, label="Organization", method="in_organizations", help_text="Of this organization."
    )

    def in_organizations(self, rows: Any, name: str, value: Any) -> Any:
        """Return the rows of these organizations. ``is_valid`` has read their keys."""
        return rows.filter(organization_id__in=self.organizations)

    def created(self, rows: Any, name: str, value: Moment) -> Any:
        """Return the rows that were made at or after a moment, or before it, as the parameter's name says."""
        return created_between(rows, **{name.removeprefix("created_"): as_moment(value)})

    def check(self) -> None:
        """Raise the REST framework's ValidationError with the parameters that are wrong.

        The errors are translated here, because django-filter's own way fails at a percent sign in a message.
        """
        wrong = {} if self.is_valid() else {name: _coded(found) for name, found in self.errors.as_data().items()}
        wrong |= self._repeated()
        if wrong:
            raise serializers.ValidationError(wrong)

    def matching(self) -> Any:
        """Return the rows that match; raise ValidationError as :meth:`check` does."""
        self.check()
        rows: Any = self.qs
        return rows

    def _repeated(self) -> dict[str, list[str]]:
        """The errors of parameters that were given twice but have one value: to choose one would be a guess."""
        kinds = {name: item.extra.get("kind") for name, item in self.base_filters.items()}
        several = {name for name, kind in kinds.items() if kind is not None and kind.is_repeated}
        given = self.data.lists() if isinstance(self.data, QueryDict) else ()
        return {name: [GIVE_ONE] for name, values in given if len(values) > 1 and name not in several}

    def is_valid(self) -> bool:
        """Return whether all parameters are right.

        An organization that the user may not know of is refused like one that does not exist.
        """
        self.organizations: tuple[Any, ...] = ()
        valid = bool(super().is_valid())
        names = self.form.cleaned_data.get("organization")
        if names:
            try:
                self.organizations = organization_keys(names, self.request.user)
            except InvalidFilter as error:
                for text in error.errors["organization"]:
                    self.form.add_error("organization", ValidationError(text, code=code_of(text)))
                return False
        return valid


def _coded(errors: Iterable[ValidationError]) -> list[str]:
    return [say("%(text)s", code=error.code or "", text=text) for error in errors for text in error]


class ListFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Filter a list by the view's filters, and refuse parameters that neither these nor the pages have."""

    def read(self, request: Any, queryset: Any, view: Any) -> Any:
        """Return the view's filters with the parameters of the request."""
        known = [*view.filterset_class.base_filters, *view.pagination_class.parameters, "format"]
        refuse_unknown(request.query_params, known)
        return self.get_filterset(request, queryset, view)

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        return self.read(request, queryset, view).matching()


# Serializer fields made from a dataclass, so that its fields are listed in one place.


_FIELDS: Final[dict[Any, Callable[..., Any]]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    bool: serializers.BooleanField,
    float: serializers.FloatField,
    dt.datetime: serializers.DateTimeField,
    list[str]: lambda **more: serializers.ListField(child=serializers.CharField(), **more),
    dict[str, Any]: serializers.DictField,
    dict[str, int]: lambda **more: serializers.DictField(child=serializers.IntegerField(), **more),
    Any: serializers.JSONField,
}


def fields_of(kind: type[Any], **options: Any) -> dict[str, Any]:
    """Return a serializer field for each field of a dataclass, by name and in the same order.

    A field's ``metadata`` are more arguments of its serializer field, ``options`` those of all; with ``words`` that is
    a ShownWordField. KeyError for a type that has no serializer field here.
    """
    types = get_type_hints(kind)
    return {item.name: _field(types[item.name], {**item.metadata, **options}) for item in dataclasses.fields(kind)}


def _field(kind: Any, more: Mapping[str, Any]) -> Any:
    plain = [part for part in get_args(kind) if part is not NoneType] if NoneType in get_args(kind) else [kind]
    make: Callable[..., Any] = ShownWordField if "words" in more else _FIELDS[plain[0]]
    return make(**({"allow_null": True} if plain != [kind] else {}), **more)


# What the serializers of all doors are made of.


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses a field that it does not have: the REST framework would ignore it."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values of the fields; ValidationError also for a field that there is not."""
        if isinstance(data, QueryDict):
            check_parameters(data, [*self.fields, *FORM_EXTRAS])
        elif isinstance(data, Mapping):
            refuse_unknown(data, self.fields)
        return super().to_internal_value(data)


class NothingSerializer(StrictSerializer):
    """A call that takes no fields."""


class StatusSerializer(serializers.Serializer[Any]):
    """What is answered as one of ``django_jobs.values``, which is ``kind``."""

    kind: ClassVar[type[Any]]

    def get_fields(self) -> dict[str, Any]:
        """Those of ``kind``; what a subclass declares by the same name takes that field's place."""
        return {**fields_of(self.kind), **super().get_fields()}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        described: dict[str, Any] = instance.as_dict()
        return described
