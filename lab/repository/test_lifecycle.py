"""The page about the life of a job draws every change of a status that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from django_jobs.statuses import TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"


def test_the_diagram_has_an_arrow_for_each_change_of_a_status() -> None:
    drawn = re.findall(r"^    (\w+) --> (\w+):", PAGE.read_text(), flags=re.MULTILINE)
    changes = [
        (source.replace(" ", ""), target.replace(" ", ""))
        for source, targets in TRANSITIONS.items()
        for target in targets
    ]
    assert sorted(arrow for arrow in drawn) == sorted(changes)
