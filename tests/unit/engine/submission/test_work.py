"""What the same work has in common."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from tests.support import verbs

REPORT = verbs.work_of("report", 1)


def test_equal_work_has_equal_hashes_whatever_the_order_of_keys() -> None:
    assert verbs.work_hash(REPORT, {"a": 1, "b": [2]}) == verbs.work_hash(REPORT, {"b": [2], "a": 1})


def test_work_has_the_same_hash_in_every_release() -> None:
    """Rows of running installations hold them."""
    text = '["report","1",{"a":1,"b":[2]}]'
    assert verbs.work_hash(REPORT, {"b": [2], "a": 1}) == sha256(text.encode()).hexdigest()
    assert verbs.work_hash(REPORT, {}, "key") == sha256(b'["report","1","unique_key","key"]').hexdigest()


def test_other_work_has_another_hash(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, int, Any]] = [("mail", 1, {"a": 1}), ("report", 2, {"a": 1}), ("report", 1, {"a": 2})]
    for kind, pk, parameters in cases:
        with subtests.test(kind=kind, pk=pk, parameters=parameters):
            assert verbs.work_hash(verbs.work_of(kind, pk), parameters) != verbs.work_hash(REPORT, {"a": 1})
