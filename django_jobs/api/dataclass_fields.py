"""Serializer fields made from a dataclass, so that its fields are listed in one place."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

from rest_framework import serializers

from django_jobs.api.fields import WordField

_FIELDS: Final[dict[Any, Callable[..., Any]]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    bool: serializers.BooleanField,
    float: serializers.FloatField,
    dt.datetime: serializers.DateTimeField,
    list[str]: lambda **more: serializers.ListField(child=serializers.CharField(), **more),
    dict[str, int]: lambda **more: serializers.DictField(child=serializers.IntegerField(), **more),
    Any: serializers.JSONField,
}


def fields_of(kind: type[Any]) -> dict[str, Any]:
    """Return a serializer field for each field of a dataclass, by name and in the same order.

    A field's ``metadata`` are more arguments of its serializer field; with ``words`` that is a WordField. KeyError for
    a type that has no serializer field here.
    """
    types = get_type_hints(kind)
    return {item.name: _field(types[item.name], item.metadata) for item in dataclasses.fields(kind)}


def _field(kind: Any, more: Mapping[str, Any]) -> Any:
    plain = [part for part in get_args(kind) if part is not NoneType] if NoneType in get_args(kind) else [kind]
    make: Callable[..., Any] = WordField if "words" in more else _FIELDS[plain[0]]
    return make(**({"allow_null": True} if plain != [kind] else {}), **more)
