"""What a type's serializer says of parameters: at the doors and in the handler."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError
from rest_framework import serializers

from django_jobs import JobContext, PermanentError, job_handler
from django_jobs.engine.job_types import parameters
from django_jobs.testing import make_context
from tests.support import handlers, verbs
from tests.support.serializers import Order


class Broken(serializers.Serializer[Any]):
    """Does to its input what ``error`` says."""

    error: BaseException = ZeroDivisionError("secret")

    def validate(self, data: Any) -> Any:
        raise self.error


class Greedy(serializers.Serializer[Any]):
    """Takes away what it is given."""

    def to_internal_value(self, data: Any) -> Any:
        return data.pop("a")


@pytest.fixture(autouse=True)
def declared(nothing_declared: object) -> None:
    job_handler("plain")(handlers.do_nothing)
    job_handler("bake", parameters=Order)(handlers.do_nothing)
    job_handler("break", parameters=Broken)(handlers.do_nothing)
    job_handler("eat", parameters=Greedy)(handlers.do_nothing)


def context(type_name: str, values: Any) -> JobContext:
    return make_context(values, job_type=type_name)


@pytest.mark.parametrize("name", ["plain", "of_no_code"])
def test_a_type_without_a_serializer_takes_anything(name: str) -> None:
    assert verbs.validate_parameters(name, {"anything": [1]}) == {}


def test_good_parameters_have_no_errors() -> None:
    assert (
        verbs.validate_parameters("bake", {"day": "2026-01-31", "lines": [{"sku": "rye"}], "sizes": {"big": 1}}) == {}
    )


def test_an_error_names_its_place(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str, str]] = [
        ({}, "parameters.day", "required"),
        ({"day": "2026-02-30"}, "parameters.day", "invalid"),
        ({"day": "2026-01-31", "lines": "rye"}, "parameters.lines", "not_a_list"),
        ({"day": "2026-01-31", "lines": [{"sku": "a"}, {"sku": "ü"}]}, "parameters.lines.1.sku", "invalid"),
        ({"day": "2026-01-31", "sizes": {"big": "x"}}, "parameters.sizes.big", "invalid"),
        ({"day": "2026-01-31", "note": "contradiction"}, "parameters", "invalid"),
    ]
    for values, key, code in cases:
        with subtests.test(values=values, key=key, code=code):
            errors: Any = verbs.validate_parameters("bake", values)
            assert {name: [text.code for text in texts] for name, texts in errors.items()} == {key: [code]}


def test_several_errors_are_told_together() -> None:
    lines = [{"sku": "a", "count": 0}, {"count": "x"}]
    errors = verbs.validate_parameters("bake", {"lines": lines})
    places = {"parameters.lines.0.count", "parameters.lines.1.sku", "parameters.lines.1.count"}
    assert set(errors) == {"parameters.day"} | places


def test_errors_are_as_many_and_as_long_as_a_person_can_read() -> None:
    errors = verbs.validate_parameters("bake", {"day": "2026-01-31", "sizes": {f"{n}" * 300: "x" for n in range(100)}})
    assert len(errors) == verbs.MAX_FIELDS
    assert max(map(len, errors)) <= parameters.MAX_KEY


def test_texts_are_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "error", serializers.ValidationError({"a\x00": ["\ud800"]}))
    assert verbs.validate_parameters("break", {}) == {"parameters.a\ufffd": ["?"]}


def test_a_serializer_that_breaks_refuses_without_telling_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "django_jobs"):
        errors: Any = verbs.validate_parameters("break", {})
    ((key, (text,)),) = errors.items()
    assert (key, text.code, text.values) == ("parameters", "not_checked", {"error": "ZeroDivisionError"})
    assert "event=parameters_not_checked job_type=break" in caplog.text


def test_djangos_validation_errors_are_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "error", ValidationError("No flour."))
    assert verbs.validate_parameters("break", {}) == {"parameters": ["No flour."]}


def test_a_database_that_is_away_is_no_fault_of_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "error", OperationalError())
    with pytest.raises(OperationalError):
        verbs.validate_parameters("break", {})


def test_a_serializer_cannot_change_what_is_stored() -> None:
    values = {"a": {"b": 1}}
    assert verbs.validate_parameters("eat", values) == {}
    assert values == {"a": {"b": 1}}


def test_a_handler_gets_python_objects() -> None:
    data = context("bake", {"day": "2026-01-31", "lines": [{"sku": "rye"}], "more": 1}).validated_data
    assert data == {"day": dt.date(2026, 1, 31), "lines": [{"sku": "rye", "count": 1}]}


@pytest.mark.parametrize("name", ["plain", "of_no_code"])
def test_without_a_serializer_a_handler_gets_the_parameters(name: str) -> None:
    assert context(name, {"a": 1}).validated_data == {"a": 1}


def test_it_is_validated_once() -> None:
    its = context("bake", {"day": "2026-01-31"})
    assert its.validated_data is its.validated_data


def test_parameters_that_are_no_longer_valid_are_a_permanent_error() -> None:
    with pytest.raises(PermanentError) as caught:
        _ = context("bake", {"lines": [{"sku": "ü"}]}).validated_data
    assert [f"parameters.{name}: " in str(caught.value) for name in ("day", "lines.0.sku")] == [True, True]


def test_a_serializer_that_breaks_in_a_handler_is_the_handlers_error() -> None:
    with pytest.raises(ZeroDivisionError):
        _ = context("break", {}).validated_data
