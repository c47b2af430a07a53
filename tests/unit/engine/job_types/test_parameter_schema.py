"""A type's serializer as JSON Schema."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from rest_framework import serializers

from django_jobs import job_handler
from tests.support import handlers, verbs
from tests.support.serializers import Line, Order


@pytest.fixture(autouse=True)
def declared(nothing_declared: object) -> None:
    job_handler("plain")(handlers.do_nothing)
    job_handler("bake", parameters=Order)(handlers.do_nothing)


def test_a_serializer_has_a_schema() -> None:
    assert verbs.parameters_schema("bake") == {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date", "description": "When it is baked."},
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "sku": {"type": "string", "minLength": 1, "maxLength": 8, "pattern": "^[-a-zA-Z0-9_]+$"},
                        "count": {"type": "integer", "minimum": 1, "maximum": 99, "default": 1},
                    },
                    "required": ["sku"],
                },
            },
            "sizes": {"type": "object", "additionalProperties": {"type": "integer"}},
            "note": {"type": ["string", "null"], "title": "A word"},
        },
        "required": ["day"],
    }


@pytest.mark.parametrize("name", ["plain", "of_no_code"])
def test_a_type_without_a_serializer_has_no_schema(name: str) -> None:
    assert verbs.parameters_schema(name) is None


def test_a_serializer_that_cannot_be_described_has_no_schema(caplog: pytest.LogCaptureFixture) -> None:
    class Puzzling(serializers.Serializer[Any]):
        def get_fields(self) -> Any:
            raise ZeroDivisionError

    job_handler("puzzle", parameters=Puzzling)(handlers.do_nothing)
    assert verbs.parameters_schema("puzzle") is None
    assert "event=no_parameters_schema job_type=puzzle" in caplog.text


SCHEMAS: Final[list[tuple[Any, Any]]] = [
    (serializers.BooleanField(), {"type": "boolean"}),
    (serializers.BooleanField(allow_null=True), {"type": ["boolean", "null"]}),
    (serializers.FloatField(min_value=0.5), {"type": "number", "minimum": 0.5}),
    (
        serializers.DecimalField(max_digits=5, decimal_places=2, max_value=9),
        {"type": ["number", "string"], "maximum": 9},
    ),
    (serializers.CharField(allow_blank=True), {"type": "string"}),
    (serializers.CharField(min_length=3), {"type": "string", "minLength": 3}),
    (serializers.EmailField(), {"type": "string", "minLength": 1, "format": "email"}),
    (serializers.URLField(), {"type": "string", "minLength": 1, "format": "uri"}),
    (serializers.RegexField("^a+$"), {"type": "string", "minLength": 1, "pattern": "^a+$"}),
    (serializers.RegexField(r"\Aa+\Z"), {"type": "string", "pattern": "^a+$"}),
    (serializers.RegexField(re.compile("a", re.IGNORECASE)), {"type": "string", "pattern": None}),
    (serializers.RegexField("(?P<a>b)"), {"type": "string", "pattern": None}),
    (serializers.UUIDField(), {"type": "string", "format": "uuid"}),
    (serializers.DateTimeField(), {"type": "string", "format": "date-time"}),
    (serializers.DateField(input_formats=["%d.%m.%Y"]), {"type": "string"}),
    (serializers.TimeField(), {"type": "string", "format": "time"}),
    (serializers.DurationField(), {"type": "string"}),
    (serializers.ChoiceField(["a", "b"]), {"type": "string", "enum": ["a", "b"]}),
    (serializers.ChoiceField([1, 2], allow_null=True), {"type": ["integer", "null"], "enum": [1, 2, None]}),
    (serializers.ChoiceField([("A", [("a", "x")])], allow_blank=True), {"type": "string", "enum": ["a", ""]}),
    (serializers.ChoiceField(["a", 1]), {"enum": ["a", 1]}),
    (
        serializers.MultipleChoiceField(choices=["a"], allow_empty=False),
        {"type": "array", "items": {"type": "string", "enum": ["a"]}, "uniqueItems": True, "minItems": 1},
    ),
    (
        serializers.ListField(child=serializers.IntegerField(), max_length=3, allow_empty=False),
        {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
    ),
    (serializers.JSONField(), {}),
    (serializers.PrimaryKeyRelatedField(queryset=User.objects.all()), {"type": "integer"}),
    (
        serializers.PrimaryKeyRelatedField(queryset=User.objects.all(), many=True),
        {"type": "array", "items": {"type": "integer"}},
    ),
    (
        serializers.SlugRelatedField(slug_field="username", queryset=User.objects.all()),
        {"type": ["string", "integer"]},
    ),
    (Line(), {"type": "object"}),
    (serializers.IntegerField(default=lambda: 1), {"type": "integer"}),
    (
        serializers.DateField(default=dt.date(2026, 1, 2)),
        {"type": "string", "format": "date", "default": "2026-01-02"},
    ),
    (serializers.JSONField(default={"a": {1}}), {}),
]


def test_each_kind_of_field_has_its_schema(subtests: pytest.Subtests) -> None:
    for field, expected in SCHEMAS:
        with subtests.test(field=field, expected=expected):
            one = type("One", (serializers.Serializer,), {"it": field})
            job_handler("one", parameters=one)(handlers.do_nothing)
            schema: Any = verbs.parameters_schema("one")
            found = schema["properties"]["it"]
            assert {name: found.get(name) for name in expected} == expected
            assert set(found) - set(expected) <= {"properties", "required", "minLength"}


def test_what_is_not_asked_for_is_not_in_the_schema() -> None:
    class Quiet(serializers.Serializer[Any]):
        shown = serializers.CharField(read_only=True)
        hidden = serializers.HiddenField(default=1)

    job_handler("quiet", parameters=Quiet)(handlers.do_nothing)
    assert verbs.parameters_schema("quiet") == {"type": "object", "properties": {}}


def test_a_serializer_that_contains_itself_ends_somewhere() -> None:
    class Nested(serializers.Serializer[Any]):
        def get_fields(self) -> Any:
            return {"inner": Nested()}

    job_handler("nested", parameters=Nested)(handlers.do_nothing)
    assert verbs.parameters_schema("nested") is not None


def test_a_serializer_of_its_own_kind_is_an_object() -> None:
    class Own(serializers.BaseSerializer[Any]):
        """Says nothing of its fields."""

    job_handler("own", parameters=Own)(handlers.do_nothing)
    assert verbs.parameters_schema("own") == {"type": "object"}


def test_the_default_of_what_lies_under_a_sensitive_key_is_not_shown(settings: Any) -> None:
    class Login(serializers.Serializer[Any]):
        user = serializers.CharField(default="ann")

    class Wanted(serializers.Serializer[Any]):
        login = Login()

    settings.DJANGO_JOBS = {"SENSITIVE_PARAMETERS": ("login",)}
    job_handler("wanted", parameters=Wanted)(handlers.do_nothing)
    schema: Any = verbs.parameters_schema("wanted")
    assert "default" not in schema["properties"]["login"]["properties"]["user"]
