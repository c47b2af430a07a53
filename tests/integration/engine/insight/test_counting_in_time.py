"""Jobs are counted exactly, however many there are, as long as that is quick."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import pytest

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import pending_job
from tests.support.job_copies import copies
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

JOBS = 25


@pytest.fixture(autouse=True)
def jobs(tuning: Tuning) -> None:
    tuning.set(capped_count_rows=3, counting_rows_of_a_statement=5)
    copies(pending_job(), JOBS - 1)


@pytest.fixture
def seconds(tuning: Tuning) -> Callable[[float], None]:
    """Let so many seconds go by between two looks at the clock."""

    def set_to(step: float) -> None:
        ticks = Mock(monotonic=Mock(side_effect=(number * step for number in range(1_000))))
        tuning.set(counting_clock=ticks)

    return set_to


@pytest.mark.parametrize("is_walked", [False, True])
def test_more_than_the_bound_are_counted_exactly(is_walked: bool, seconds: Callable[[float], None]) -> None:
    seconds(0)
    assert verbs.count_in_time(Job.objects.all(), is_walked=is_walked) == (JOBS, False)
    assert verbs.count_in_time(Job.objects.order_by("-pk").exclude(status="Completed"), is_walked=is_walked) == (
        JOBS,
        False,
    )


def test_where_time_runs_out_the_newest_were_counted_and_that_is_said(seconds: Callable[[float], None]) -> None:
    seconds(0.6)
    assert verbs.count_in_time(Job.objects.all(), is_walked=False) == (5, True)
    # Of old jobs alone it is known that they are more than the bound.
    oldest = Job.objects.filter(pk__lte=Job.objects.earliest("pk").pk + 3)
    assert verbs.count_in_time(oldest, is_walked=False) == (3, True)


def test_stretches_shrink_when_they_are_slow(seconds: Callable[[float], None]) -> None:
    seconds(0.21)
    assert verbs.count_in_time(Job.objects.all(), is_walked=True) == (5 + 2 + 1, True)
