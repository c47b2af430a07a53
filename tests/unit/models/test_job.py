"""Job ids, as people read them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobs.models.job import format_job_id
from tests.support import verbs


@given(st.integers(1, 2**63 - 1), st.integers(1000, 9999))
def test_a_formatted_id_parses_to_what_it_was_made_of(pk: int, year: int) -> None:
    assert verbs.parse_job_id(format_job_id(pk, year)) == (pk, year)


def test_the_number_has_at_least_five_digits() -> None:
    assert format_job_id(1, 2026) == "JOB-2026-00001"
    assert format_job_id(1234567, 2026) == "JOB-2026-1234567"


def test_anything_but_the_canonical_spelling_is_no_id(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [
        "JOB-2026-1",
        "JOB-2026-000001",
        "job-2026-00001",
        "JOB-26-00001",
        "JOB-0000-00001",
        "JOB-02026-00001",
        "JOB-10000-00001",
        f"JOB-{'9' * 5000}-00001",
        f"JOB-2026-{'9' * 5000}",
        "JOB-2026-00001-1",
        "JOB-2026-00001\n",
        " JOB-2026-00001",
        "JOB-2026-\u0660\u0660\u0660\u0660\u0661",
        "JOB-2026--0001",
        f"JOB-2026-{2**63}",
        "JOB-2026-99999999999999999999",
        "",
        None,
        1,
        b"JOB-2026-00001",
    ]
    for text in cases:
        with subtests.test(text=text):
            assert verbs.parse_job_id(text) is None
