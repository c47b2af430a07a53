"""How many jobs of some types wait, counted up to a bound: by each store, and on PostgreSQL by which way."""

from __future__ import annotations

import datetime as dt
from typing import Final

import pytest
from django.db import connection
from django.utils import timezone

from tests.support import verbs
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type, make_organization
from tests.support.job_copies import copies
from tests.support.many_jobs import JOBS, LOGS, analyze
from tests.support.plans import explained
from tests.support.verbs import Store

pytestmark = pytest.mark.usefixtures("broker")

TOMORROW: Final = dt.timedelta(days=1)
#: Of two groups that are counted to 20, and of some lanes that are empty.
MOST_VISITED: Final = 100


def test_each_group_of_types_is_counted_up_to_a_bound(each_store: Store) -> None:
    kind, other, organization = make_job_type(), make_job_type(), make_organization()
    for priority in ("Critical", "Low", "Low"):
        pending_job(kind, organization, priority=priority)
    pending_job(other, organization)
    for status in ("Queued", "Running", "Completed"):
        job_in(status, job_type=other, organization=organization)
    groups = [[kind.pk], [], [other.pk], [kind.pk, other.pk], ["no_type"]]
    assert each_store.count_waiting(groups, 10) == [3, 0, 1, 4, 0]
    assert each_store.count_waiting(groups, 2) == [2, 0, 1, 2, 0]
    assert each_store.count_waiting([[]], 2) == [0]


def test_what_waits_for_its_moment_is_in_no_lane(each_store: Store) -> None:
    kind = make_job_type()
    pending_job(kind, run_at=timezone.now() + TOMORROW)
    assert each_store.count_waiting([[kind.pk]], 10) == [0]
    assert each_store.count_waiting([[kind.pk]], 10, delayed=True) == [1]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="These are PostgreSQL's plans.")
@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_no_other_job_is_visited_whenever_the_table_was_analyzed(*, is_first: bool) -> None:
    with connection.cursor() as cursor:  # what other tests left in the tables' pages would have a say in the plan
        cursor.execute(f"TRUNCATE {JOBS}, {LOGS} CASCADE")
    kinds = [make_job_type() for _ in range(3)]
    if is_first:
        analyze()
    copies(pending_job(kinds[0]), 2_000)
    copies(pending_job(kinds[1], run_at=timezone.now() + TOMORROW), 1_000)
    pending_job(kinds[2])
    if not is_first:
        analyze()
    groups = [[kind.pk for kind in kinds[:2]], [kinds[2].pk]]
    for delayed, counts in ((False, [20, 1]), (True, [20, 0])):
        with explained() as plans:
            assert verbs.store().count_waiting(groups, 20, delayed=delayed) == counts
        assert len(plans) == 1
        assert [str(plan) for plan in plans if plan.visited() > MOST_VISITED or JOBS in plan.scanned()] == []
