"""Describing a serializer as JSON Schema (draft 2020-12), without the database: related rows are not listed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from rest_framework import fields, relations, serializers
from rest_framework.settings import api_settings

from django_jobs.engine.job_types.masking import masked, sensitive_names

MAX_DEPTH: Final = 10

Schema = dict[str, Any]


def schema_of(serializer: Any, depth: int = 0) -> Schema:
    """Return the schema of what the serializer accepts: an object, or a list of objects."""
    if isinstance(serializer, serializers.ListSerializer):
        return _list(serializer, depth)
    if not isinstance(serializer, serializers.Serializer) or depth > MAX_DEPTH:
        return {"type": "object"}
    accepted = {
        name: field
        for name, field in serializer.fields.items()
        if not field.read_only and not isinstance(field, fields.HiddenField)
    }
    schema: Schema = {
        "type": "object",
        "properties": {name: _described(field, depth + 1) for name, field in accepted.items()},
    }
    required = [name for name, field in accepted.items() if field.required]
    return {**schema, "required": required} if required else schema


def _described(field: Any, depth: int) -> Schema:
    """Return the field's schema with its title, description and default."""
    schema = _field(field, depth)
    for word, text in (("title", _given_label(field)), ("description", field.help_text)):
        if text:
            schema[word] = str(text)
    if field.default is not fields.empty and not callable(field.default) and not _is_sensitive(field):
        schema |= _default(field.default)
    return _nullable(schema) if field.allow_null else schema


def _given_label(field: Any) -> Any:
    """Return the label that the host wrote; the framework also makes one of every name, which says nothing."""
    return field._kwargs.get("label")  # noqa: SLF001  (kept nowhere else)


def _is_sensitive(field: Any) -> bool:
    """Return whether the value is masked wherever it is shown; then the default is not shown either."""
    return bool({str(name).casefold() for name in _names_above(field)} & sensitive_names())


def _names_above(field: Any) -> Iterator[Any]:
    while field is not None:
        yield field.field_name
        field = field.parent


def _default(value: Any) -> Schema:
    try:
        text = json.dumps(value, cls=DjangoJSONEncoder, allow_nan=False)
        return {"default": masked(json.loads(text), sensitive_names())}
    except (TypeError, ValueError):
        return {}


def _nullable(schema: Schema) -> Schema:
    kind = schema.get("type")
    if kind is not None:
        schema["type"] = [*(kind if isinstance(kind, list) else [kind]), "null"]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _field(field: Any, depth: int) -> Schema:
    for kind, describe in _DESCRIPTIONS:
        if isinstance(field, kind):
            return describe(field, depth)
    return {}


def _text(field: Any, _: int) -> Schema:
    schema: Schema = {"type": "string"}
    shortest = field.min_length or (0 if field.allow_blank else 1)
    if shortest:
        schema["minLength"] = shortest
    if field.max_length is not None:
        schema["maxLength"] = field.max_length
    return schema


def _with_format(name: str) -> Callable[[Any, int], Schema]:
    return lambda field, depth: {**_text(field, depth), "format": name}


def _with_pattern(field: Any, depth: int) -> Schema:
    patterns = [pattern for check in field.validators if (pattern := _portable(getattr(check, "regex", None)))]
    return {**_text(field, depth), **({"pattern": patterns[0]} if patterns else {})}


def _portable(regex: Any) -> str | None:
    """Return the pattern in the notation that JSON Schema shares with Python; None where that has no such form."""
    if regex is None or regex.flags & ~re.UNICODE or "(?P" in regex.pattern:
        return None
    return str(regex.pattern).replace("\\A", "^").replace("\\Z", "$")


def _number(kind: Any) -> Callable[[Any, int], Schema]:
    def describe(field: Any, _: int) -> Schema:
        schema: Schema = {"type": kind}
        for word, bound in (("minimum", field.min_value), ("maximum", field.max_value)):
            if bound is not None and not callable(bound):
                schema[word] = bound if isinstance(bound, int) else float(bound)
        return schema

    return describe


def _moment(name: str, setting: str) -> Callable[[Any, int], Schema]:
    """Describe a text with the format's name where the field takes ISO 8601; a host may have chosen otherwise."""

    def describe(field: Any, _: int) -> Schema:
        accepted = getattr(field, "input_formats", None) or getattr(api_settings, setting)
        is_iso = "iso-8601" in [str(item).lower() for item in accepted]
        return {"type": "string", "format": name} if is_iso else {"type": "string"}

    return describe


def _choice(field: Any, _: int) -> Schema:
    values = list(field.choices)
    if getattr(field, "allow_blank", False) and "" not in values:
        values.append("")
    kinds = {_JSON_TYPES.get(type(value)) for value in values}
    only = kinds.pop() if len(kinds) == 1 else None
    return {**({"type": only} if only else {}), "enum": values}


def _choices(field: Any, depth: int) -> Schema:
    schema: Schema = {"type": "array", "items": _choice(field, depth), "uniqueItems": True}
    return schema if field.allow_empty else {**schema, "minItems": 1}


def _list(field: Any, depth: int) -> Schema:
    child = field.child
    is_serializer = isinstance(child, serializers.BaseSerializer)
    schema: Schema = {"type": "array", "items": schema_of(child, depth) if is_serializer else _described(child, depth)}
    shortest = field.min_length or (0 if field.allow_empty else 1)
    if shortest:
        schema["minItems"] = shortest
    if field.max_length is not None:
        schema["maxItems"] = field.max_length
    return schema


def _mapping(field: Any, depth: int) -> Schema:
    return {"type": "object", "additionalProperties": _described(field.child, depth)}


def _primary_key(field: Any, depth: int) -> Schema:
    if field.pk_field is not None:
        return _field(field.pk_field, depth)
    model = getattr(field.queryset, "model", None)
    kind = model._meta.pk.get_internal_type() if model is not None else ""
    if kind == "UUIDField":
        return {"type": "string", "format": "uuid"}
    return {"type": "integer"} if kind.endswith(("AutoField", "IntegerField")) else {"type": ["integer", "string"]}


def _constant(**schema: Any) -> Callable[[Any, int], Schema]:
    return lambda _field, _depth: dict(schema)


_JSON_TYPES: Final[dict[type, str]] = {str: "string", int: "integer", float: "number", bool: "boolean"}

#: The first class that fits describes a field, so subclasses come before their bases.
_DESCRIPTIONS: Final[tuple[tuple[type, Callable[[Any, int], Schema]], ...]] = (
    (serializers.BaseSerializer, schema_of),
    (relations.ManyRelatedField, lambda field, depth: {"type": "array", "items": _field(field.child_relation, depth)}),
    (relations.PrimaryKeyRelatedField, _primary_key),
    (relations.HyperlinkedRelatedField, _constant(type="string", format="uri")),
    (relations.SlugRelatedField, _constant(type=["string", "integer"])),
    (fields.BooleanField, _constant(type="boolean")),
    (fields.EmailField, _with_format("email")),
    (fields.URLField, _with_format("uri")),
    (fields.SlugField, _with_pattern),
    (fields.RegexField, _with_pattern),
    (fields.CharField, _text),
    (fields.UUIDField, _constant(type="string", format="uuid")),
    (fields.IntegerField, _number("integer")),
    (fields.FloatField, _number("number")),
    (fields.DecimalField, _number(["number", "string"])),
    (fields.DateTimeField, _moment("date-time", "DATETIME_INPUT_FORMATS")),
    (fields.DateField, _moment("date", "DATE_INPUT_FORMATS")),
    (fields.TimeField, _moment("time", "TIME_INPUT_FORMATS")),
    (fields.DurationField, _constant(type="string")),
    (fields.MultipleChoiceField, _choices),
    (fields.ChoiceField, _choice),
    (fields.ListField, _list),
    (fields.DictField, _mapping),
)
