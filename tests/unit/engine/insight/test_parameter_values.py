"""What a typed path and value may mean in the parameters of a job."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs.engine.insight.search import meanings_of, path_of

PATHS: list[tuple[str, tuple[str, ...] | None]] = [
    ("customer_id", ("customer_id",)),
    ("customer.id", ("customer", "id")),
    ("items.0", ("items", "0")),
    ("größe", ("größe",)),
    ("a__contains", ("a__contains",)),
    ("a.b.c.d.e.f", None),
    ("a..b", None),
    ("", None),
    ("-1", None),
    ("1_0", None),
    ("9999999", None),
    ("\u0663", None),
    ("x" * 101, None),
]
MEANINGS: list[tuple[str, list[Any]]] = [
    ("17", ["17", 17]),
    ("-1.50", ["-1.50", -1.5]),
    ("017", ["017"]),
    ("1e5", ["1e5"]),
    ("true", ["true", True]),
    ('"17"', ["17"]),
    ("pdf", ["pdf"]),
    ("NaN", ["NaN"]),
    ("9" * 31, ["9" * 31]),
    ('"', ['"']),
]


def test_a_path_names_what_a_database_can_be_asked_for(subtests: pytest.Subtests) -> None:
    for text, path in PATHS:
        with subtests.test(text=text):
            assert path_of(text) == path


def test_a_text_means_itself_and_the_number_or_truth_that_it_spells(subtests: pytest.Subtests) -> None:
    for text, found in MEANINGS:
        with subtests.test(text=text):
            assert meanings_of(text) == found
