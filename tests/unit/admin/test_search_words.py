"""How a typed search is split into pairs."""

from __future__ import annotations

import pytest

from django_jobs.admin.search import Pair, pairs_of

PAIRS: list[tuple[str, list[Pair]]] = [
    ("type:mails", [Pair("type", "mails", is_parameter=False)]),
    ("TYPE:mails", [Pair("type", "mails", is_parameter=False)]),
    ("user:alice", [Pair("owner", "alice", is_parameter=False)]),
    ('organization:"Bright water"', [Pair("organization", "Bright water", is_parameter=False)]),
    ("customer_id:17", [Pair("customer_id", "17", is_parameter=True)]),
    ('customer.name:"Ann Lee"', [Pair("customer.name", '"Ann Lee"', is_parameter=True)]),
    ("parameters.type:pdf", [Pair("type", "pdf", is_parameter=True)]),
    ("a:1  type:x", [Pair("a", "1", is_parameter=True), Pair("type", "x", is_parameter=False)]),
    ("error:could not connect", [Pair("error", "could not connect", is_parameter=False)]),
    ("error: could not: connect", [Pair("error", "could not: connect", is_parameter=False)]),
]
NO_PAIRS = ["", "mails", "ValueError: refused", "a:1 and", ":", "a:", ":1", '"a:1"', 'a:"open', "a:1 " * 6, " : : "]
NO_PAIRS += ['error:" "', 'a:1 type:" "']


def test_a_text_of_pairs_is_split(subtests: pytest.Subtests) -> None:
    for text, found in PAIRS:
        with subtests.test(text=text):
            assert pairs_of(text) == found


def test_any_other_text_stands_as_a_whole(subtests: pytest.Subtests) -> None:
    for text in NO_PAIRS:
        with subtests.test(text=text):
            assert pairs_of(text) == []
