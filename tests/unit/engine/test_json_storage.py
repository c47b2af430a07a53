"""What can be stored as JSON comes back as it went in; the rest is refused by name."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from collections import OrderedDict
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from hypothesis import given
from hypothesis import strategies as st

from django_jobs.engine.json_storage import canonical, clean_text, encoded, is_storable_text, storable
from tests.support.refusals import refused
from tests.support.verbs import NotStorable

LIMIT = 1_000_000
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


@given(JSON)
def test_any_json_value_round_trips(value: Any) -> None:
    assert storable(value, "The value", LIMIT) == value


@given(st.text())
def test_any_text_is_stored_as_it_is_or_refused(text: str) -> None:
    try:
        stored = storable({"text": text}, "The value", LIMIT)
    except NotStorable:
        assert "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text)
    else:
        assert stored == {"text": text}
        stored["text"].encode()


def test_what_no_database_takes_is_refused_by_name(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        ({"numbers": {1, 2}}, "not_json"),
        ({"data": b"\x89PNG"}, "not_json"),
        ({"a": object()}, "not_json"),
        ({"a": float("nan")}, "not_finite"),
        ({"a": [float("inf")]}, "not_finite"),
        ({"a": -float("inf")}, "not_finite"),
        ({"a": "x\x00y"}, "unstorable_text"),
        ({"x\x00y": 1}, "unstorable_text"),
        ({"a": ["\ud800"]}, "unstorable_text"),
        ({"\udfff": 1}, "unstorable_text"),
        ({("a", "b"): 1}, "not_json"),
    ]
    for value, code in cases:
        with subtests.test(value=value, code=code):
            with refused(NotStorable, code) as caught:
                storable(value, "parameters", LIMIT)
            assert str(caught.value).startswith("parameters ")


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with refused(NotStorable, "not_json"):
        storable(value, "parameters", LIMIT)


def nested(levels: int, leaf: str = "leaf") -> Any:
    value: Any = leaf
    for _ in range(levels):
        value = [value]
    return value


def test_a_deeply_nested_value_is_refused(subtests: pytest.Subtests) -> None:
    for leaf in ("plain", "\N{GRINNING FACE}", "\\u0000"):
        for levels in (31, 600, 5_000, 100_000):
            with subtests.test(leaf=leaf, levels=levels), refused(NotStorable, "too_deep"):
                storable(nested(levels, leaf), "parameters", LIMIT)


def test_as_many_levels_as_every_database_takes_are_fine() -> None:
    assert storable({"rows": nested(29)}, "parameters", LIMIT) == {"rows": nested(29)}


def test_many_short_lists_are_not_deep() -> None:
    assert storable([[]] * 100, "parameters", LIMIT) == [[]] * 100


def test_what_is_too_large_is_refused_with_both_sizes() -> None:
    with refused(NotStorable, "too_large") as caught:
        storable("x" * 100, "The result", 50)
    assert caught.value.args[0].values == {"what": "The result", "size": 102, "most": 50}


def test_the_limit_itself_is_accepted() -> None:
    assert storable("x" * 98, "The result", 100) == "x" * 98


@given(st.dictionaries(TEXT, PLAIN, min_size=1))
def test_a_flat_dict_is_as_large_as_any_other_value(value: dict[str, Any]) -> None:
    size = len(DjangoJSONEncoder().encode(value))
    assert storable(value, "parameters", size) == value
    with refused(NotStorable, "too_large") as caught:
        storable(value, "parameters", size - 1)
    assert caught.value.args[0].values["size"] == size


@given(st.dictionaries(TEXT, PLAIN))
def test_a_flat_dict_has_its_canonical_text_if_any(value: dict[str, Any]) -> None:
    text, _, is_canonical = encoded(value, "parameters", LIMIT)
    assert json.loads(text) == value
    assert not is_canonical or text == canonical(dict(reversed(value.items())))


def test_what_is_stored_is_nobody_elses() -> None:
    value = {"a": 1}
    stored = storable(value, "parameters", LIMIT)
    value["a"] = 2
    assert stored == {"a": 1}


class Name(str):
    __slots__ = ()


class Level(enum.IntEnum):
    HIGH = 3


def test_what_is_nearly_flat_comes_back_as_plain_values(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, Any]] = [
        ({1: 2}, {"1": 2}),
        ({None: 2}, {"null": 2}),
        ({Name("a"): Name("b")}, {"a": "b"}),
        ({"a": Level.HIGH}, {"a": 3}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        (OrderedDict(a=1), {"a": 1}),
    ]
    for value, plain in cases:
        with subtests.test(value=value):
            stored = storable(value, "parameters", LIMIT)
            assert repr(stored) == repr(plain)


def test_dates_decimals_and_uuids_become_text(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        (dt.date(2026, 3, 1), "2026-03-01"),
        (dt.datetime(2026, 3, 1, 12, 30, tzinfo=dt.UTC), "2026-03-01T12:30:00Z"),
        (dt.time(12, 30), "12:30:00"),
        (dt.timedelta(hours=1), "P0DT01H00M00S"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ]
    for value, text in cases:
        with subtests.test(value=value, text=text):
            assert storable({"value": value}, "parameters", LIMIT) == {"value": text}


def test_text_that_looks_like_an_escape_is_text(subtests: pytest.Subtests) -> None:
    for text in (r"\u0000", r"C:\ud800", "\\\\u0000"):
        with subtests.test(text=text):
            assert storable(text, "parameters", LIMIT) == text


def test_characters_beyond_the_basic_plane_are_fine() -> None:
    assert storable("\N{GRINNING FACE}", "parameters", LIMIT) == "\N{GRINNING FACE}"


def test_a_text_is_storable_without_nul_and_lone_surrogates(subtests: pytest.Subtests) -> None:
    for text, is_storable in (
        ("", True),
        ("🙂 \\u0000", True),
        ("a\x00", False),
        ("\ud800", False),
        ("a\udfffb", False),
    ):
        with subtests.test(text=ascii(text)):
            assert is_storable_text(text) == is_storable


def test_clean_text_replaces_what_databases_refuse() -> None:
    assert clean_text("a\x00b\ud800c") == "a\ufffdb?c"


def test_clean_text_cuts_and_says_so() -> None:
    assert clean_text("abcdef", 4) == "abc…"
    assert clean_text("abcd", 4) == "abcd"
