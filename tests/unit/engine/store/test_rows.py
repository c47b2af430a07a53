"""Columns of many rows as PostgreSQL reads them."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

import pytest

from django_jobs.engine.store.postgresql_core import array, json_array, unnested
from django_jobs.statuses import Priority, Status
from tests.support.verbs import ColumnSlot

MOMENT = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1, None, 2**62], '{"1",NULL,"4611686018427387904"}'),
        (["a", 'say "no"', "\\", "NULL", ""], r'{"a","say \"no\"","\\","NULL",""}'),
        ([True, False, None], '{"True","False",NULL}'),
        ([MOMENT], '{"2026-05-04 12:00:00+00:00"}'),
        ([uuid.UUID(int=1)], '{"00000000-0000-0000-0000-000000000001"}'),
        ([Status.TIMED_OUT, "a"], '{"Timed Out","a"}'),
        ([], "{}"),
    ],
    ids=["numbers", "texts", "truth", "moments", "uuids", "choices", "nothing"],
)
def test_an_array_is_a_text(values: list[Any], text: str) -> None:
    assert array(values) == text


def test_values_of_other_types_are_left_to_the_driver() -> None:
    for values in ([decimal.Decimal(1), None], [Priority.HIGH]):
        assert array(values) == values


def test_json_is_one_array() -> None:
    assert json_array(['{"a": 1}', "null"]) == '[{"a": 1},null]'


def test_only_what_differs_is_a_column() -> None:
    slots = [
        ColumnSlot("a", "text", False, True),
        ColumnSlot("b", "bigint", False, False),
        ColumnSlot("c", "jsonb", True, False),
    ]
    assert unnested(slots) == (
        "ROWS FROM (generate_series(1, %(count)s::bigint), unnest(%(b)s::bigint[]), "
        "jsonb_array_elements(%(c)s::jsonb)) AS given(place, b, c)"
    )
    assert [str(slot) for slot in slots] == ["%(a)s::text", "b", "NULLIF(c, 'null')"]
