"""Fields of bodies and of filters."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from types import NoneType
from typing import Any, ClassVar, Final, get_args, get_type_hints

from django import forms
from django.http import QueryDict
from django.template import loader
from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.filters import BaseFilterBackend
from rest_framework.utils import html

from django_jobs.engine.insight.filter import ORGANIZATION, PRIORITIES, TERMS, Term, ValueKind, read_terms
from django_jobs.statuses import Priority
from django_jobs.texts import say

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


def check_parameters(parameters: Any, known: Any, several: Any = ()) -> None:
    """Raise ValidationError for a parameter of an address that is not among the ``known`` ones, or is given twice.

    To choose one of the values would be a guess. Those in ``several`` may be repeated.
    """
    refuse_unknown(parameters, known)
    repeated = [name for name, values in parameters.lists() if len(values) > 1 and name not in several]
    if repeated:
        raise serializers.ValidationError({name: [GIVE_ONE] for name in repeated})


# The parameters of lists: each is a term, as those of a filter of jobs are.


#: Values of a parameter that may be repeated.
MAX_VALUES: Final = 100


def one_of(*words: str) -> ValueKind:
    """Return the kind of values that are one of these words."""

    def read(text: Any) -> Any:
        if text not in words:
            raise ValueError(say("Use one of %(choices)s.", code="invalid_choice", choices=", ".join(words)))
        return text

    return ValueKind(read, schema={"type": "string", "enum": words})


class ListFilter(BaseFilterBackend):
    """Finds the rows of a list by the parameters of its address. A form offers the words that a parameter may be."""

    terms: Mapping[str, Term] = {ORGANIZATION: TERMS[ORGANIZATION]}

    def given(self, query: QueryDict, others: Iterable[str]) -> dict[str, Any]:
        """Return the parameters of the address but for blank ones, and for the ``others``, which are read elsewhere.

        ValidationError names unknown ones, and those that are given too often.
        """
        several = [name for name, term in self.terms.items() if term.kind.is_repeated]
        check_parameters(query, [*self.terms, *others], several)
        lists = {
            name: [item for item in values if item.strip()] for name, values in query.lists() if name in self.terms
        }
        wrong = [name for name, values in lists.items() if len(values) > MAX_VALUES]
        if wrong:
            text = say("At most %(most)s values are accepted.", code="too_many", most=MAX_VALUES)
            raise serializers.ValidationError({name: [text] for name in wrong})
        return {name: values if name in several else values[0] for name, values in lists.items() if values}

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        """Return the rows that match. Raises InvalidFilter as :meth:`JobFilter.read` does."""
        given = self.given(request.query_params, [*view.pagination_class.parameters, "format"])
        values = read_terms(given, request.user, self.terms)
        for name, term in self.terms.items():
            if values.get(name) is not None:
                queryset = term.narrow(queryset, values[name])
        return queryset

    def to_html(self, request: Any, queryset: Any, view: Any) -> str:
        """Return the form of a browsable page, with what the address has."""
        form = forms.Form()
        for name, term in self.terms.items():
            form.fields[name] = _form_field(name, term, request.query_params.getlist(name))
        template = "django_filters/rest_framework/form.html"
        return loader.render_to_string(template, {"filter": {"form": form}}, request)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return the parameters as OpenAPI has them."""
        found = []
        for name, term in self.terms.items():
            one = deepcopy(dict(term.kind.schema))
            schema = {"type": "array", "items": one, "maxItems": MAX_VALUES} if term.kind.is_repeated else one
            found.append({"name": name, "in": "query", "schema": schema, "description": f"{term.help}."})
        return found


def _form_field(name: str, term: Term, values: list[str]) -> forms.Field:
    schema = term.kind.schema
    words = ["true", "false"] if schema.get("type") == "boolean" else schema.get("oneOf", [schema])[0].get("enum", [])
    choices = [(word, word) for word in words]
    options: Any = {"label": name.replace("_", " ").capitalize(), "help_text": f"{term.help}.", "required": False}
    if choices and term.kind.is_repeated:
        return forms.MultipleChoiceField(choices=choices, initial=values, **options)
    options["initial"] = next(iter(values), "")
    return (
        forms.ChoiceField(choices=[("", "---------"), *choices], **options) if choices else forms.CharField(**options)
    )


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
