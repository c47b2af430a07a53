"""What a child has claimed and not yet settled."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs.worker.batch import Batch

FIRST: Any = object()
SECOND: Any = object()
OUTCOME: Any = object()


@pytest.fixture
def batch() -> Batch:
    return Batch()


def test_claims_start_in_their_order(batch: Batch) -> None:
    batch.put([FIRST, SECOND])
    assert [batch.next(), batch.next(), batch.next()] == [FIRST, SECOND, None]


def test_what_is_handed_back_does_not_start(batch: Batch) -> None:
    batch.put([FIRST, SECOND])
    batch.next()
    assert batch.take_waiting() == [SECOND]
    assert batch.next() is None


def test_an_end_is_taken_once(batch: Batch) -> None:
    batch.add_ended(OUTCOME)
    assert batch.take_ended() == [OUTCOME]
    assert batch.take_ended() == []


def test_a_batch_is_empty_only_when_nothing_waits_runs_or_is_unsettled(batch: Batch) -> None:
    seen = [batch.is_empty()]
    batch.put([FIRST])
    seen.append(batch.is_empty())
    batch.next()
    seen.append(batch.is_empty())
    batch.add_ended(OUTCOME)
    seen.append(batch.is_empty())
    batch.take_ended()
    seen.append(batch.is_empty())
    assert seen == [True, False, False, False, True]


def test_what_waits_behind_a_running_job_becomes_overdue(batch: Batch) -> None:
    batch.put([FIRST, SECOND])
    batch.next()
    assert batch.is_overdue(0.0)
    assert not batch.is_overdue(60.0)


def test_an_unsettled_end_behind_a_running_job_becomes_overdue(batch: Batch) -> None:
    batch.put([FIRST])
    batch.add_ended(OUTCOME)
    batch.next()
    assert batch.is_overdue(0.0)


def test_a_running_job_with_nothing_behind_it_is_not_overdue(batch: Batch) -> None:
    batch.put([FIRST])
    batch.next()
    assert not batch.is_overdue(0.0)


def test_nothing_is_overdue_while_nothing_runs(batch: Batch) -> None:
    batch.put([FIRST])
    assert not batch.is_overdue(0.0)
