"""How many names a finding tells."""

from __future__ import annotations

from django_jobs.engine.insight.problems import _named


def test_five_names_are_told_and_the_others_are_counted() -> None:
    names = ["a", "b", "c", "d", "e", "f", "g"]
    assert _named(names[:5]) == "a, b, c, d, e"
    assert _named(names) == "a, b, c, d, e and 2 more"
