"""Head starts, whichever way a store has it: where a job stands that comes into a lane, and since when it waits."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import pending_job, reread, start
from tests.support.head_starts import HOUR, place_of
from tests.support.verbs import NOW, SYSTEM, After, Condition, Lane, Move, NewJob, Store, Terms

pytestmark = pytest.mark.usefixtures("broker")

NORMAL = 1
MINUTE = HOUR / 60
LONG_AGO = dt.datetime(2020, 2, 29, 12, 0, 0, 123456, tzinfo=dt.UTC)


def new_job(kind: JobType, organization: Organization, head_start: int, **fields: Any) -> NewJob:
    how = {name: fields.pop(name) for name in ("parents", "at_once") if name in fields}
    job = Job(
        job_type=kind,
        organization=organization,
        organization_name=str(organization),
        head_start=head_start,
        **fields,
    )
    return NewJob(job=job, **how)


@pytest.mark.parametrize("way", ["one", "many"])
def test_a_new_job_stands_earlier_by_its_head_start(
    each_store: Store, kind: JobType, organization: Organization, way: str
) -> None:
    news = [new_job(kind, organization, hours, run_at=moment) for hours in (0, 3, 99) for moment in (None, LONG_AGO)]
    if way == "one":
        assert all(each_store.insert(new) for new in news)
    else:
        each_store.in_transaction(lambda: each_store.insert_many(news))
    for new in news:
        row = reread(new.job)
        assert place_of(row) == row.created_at - row.head_start * HOUR
        assert (new.job.ready_at, new.job.is_delayed) == (row.ready_at, False)
        assert verbs.waits_since_of(row) == row.created_at


@pytest.mark.parametrize("way", ["one", "many"])
def test_one_that_waits_for_its_moment_or_for_others_has_none_yet(
    each_store: Store, kind: JobType, organization: Organization, way: str
) -> None:
    later, parent = each_store.now() + HOUR, pending_job(kind, organization)
    news = [
        new_job(kind, organization, 5, run_at=later),
        new_job(kind, organization, 5, parents=[parent.pk]),
        new_job(kind, organization, 5, parents=[parent.pk], run_at=later),
    ]
    if way == "one":
        assert all(each_store.insert(new) for new in news)
    else:
        each_store.in_transaction(lambda: each_store.insert_many(news))
    rows = [reread(new.job) for new in news]
    assert [(row.ready_at, row.is_delayed) for row in rows] == [(later, True), (None, False), (None, False)]
    assert [verbs.waits_since_of(row) for row in rows] == [later, None, None]


@pytest.mark.parametrize("goes", ["TRUE", "FALSE"])
def test_one_that_may_go_at_once_stands_there_where_it_does_not(
    each_store: Store, kind: JobType, organization: Organization, goes: str
) -> None:
    new = new_job(kind, organization, 5, at_once=Condition(goes) if each_store.queues_new_jobs else None)
    assert each_store.insert(new)
    row = reread(new.job)
    if new.queued is not None:
        assert (row.status, row.ready_at, row.head_start) == ("Queued", None, 5)
    else:
        assert place_of(row) == row.created_at - 5 * HOUR


@pytest.mark.parametrize("moment", [NOW, After(0.0), After(-60.0)], ids=["now", "at once", "past"])
def test_a_move_into_a_lane_takes_it_off(
    each_store: Store, kind: JobType, organization: Organization, moment: After
) -> None:
    jobs = [pending_job(kind, organization) for _ in range(2)]
    Job.objects.filter(pk=jobs[0].pk).update(head_start=7)
    moved = [Move(pk=start(job).pk, to_status="Pending", values={"ready_at": moment}) for job in jobs]
    before = each_store.now()
    assert len(each_store.move(moved, Terms(sources=["Running"], actor=SYSTEM))) == 2
    ahead, plain = (reread(job).ready_at for job in jobs)
    assert ahead is not None
    assert plain is not None
    assert plain - ahead == 7 * HOUR
    assert abs(before + dt.timedelta(seconds=moment.seconds) - plain) < MINUTE


def test_a_move_to_wait_for_a_moment_does_not(each_store: Store, kind: JobType, organization: Organization) -> None:
    jobs = [pending_job(kind, organization) for _ in range(3)]
    Job.objects.update(head_start=7)
    moments: list[Any] = [NOW, After(3600), None]
    moves = [
        Move(pk=start(job).pk, to_status="Failed", values={"ready_at": moment})
        for job, moment in zip(jobs, moments, strict=True)
    ]
    assert len(each_store.move(moves, Terms(sources=["Running"], actor=SYSTEM))) == 3
    first, second, last = (reread(job).ready_at for job in jobs)
    assert first is not None
    assert second is not None
    assert (second - first, last) == (8 * HOUR, None)


def test_other_moments_of_a_move_are_what_they_say(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    job = pending_job(kind, organization)
    Job.objects.update(head_start=7)
    values = {"ready_at": None, "queued_at": NOW, "next_retry_at": NOW}
    each_store.move([Move(pk=job.pk, to_status="Queued", values=values)], Terms(sources=["Pending"], actor=SYSTEM))
    row = reread(job)
    assert row.queued_at is not None
    assert row.queued_at == row.next_retry_at
    assert abs(each_store.now() - row.queued_at) < MINUTE


def test_a_job_whose_moment_has_come_stands_earlier_than_that(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    jobs = [pending_job(kind, organization, run_at=each_store.now() + HOUR) for _ in range(4)]
    come = each_store.now() - MINUTE
    Job.objects.filter(pk__in=[job.pk for job in jobs[:3]]).update(ready_at=come)
    for job, hours in zip(jobs, (0, 2, 50, 50), strict=True):
        Job.objects.filter(pk=job.pk).update(head_start=hours)
    come = reread(jobs[0]).ready_at or come
    found = each_store.due_jobs(10)
    assert each_store.in_transaction(lambda: each_store.end_delays([*found, jobs[3].pk])) == 3
    assert [place_of(job) for job in jobs[:3]] == [come, come - 2 * HOUR, come - 50 * HOUR]
    assert reread(jobs[3]).is_delayed
    assert each_store.in_transaction(lambda: each_store.end_delays(found)) == 0


def test_the_heads_of_a_lane_are_those_with_the_largest(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    news = [new_job(kind, organization, hours) for hours in (0, 49, 24, 24)]
    assert all(each_store.insert(new) for new in news)
    found = each_store.heads(NORMAL, [(Lane(organization.pk, kind.pk), 3)])
    assert [item.pk for item in found] == [news[1].job.pk, news[2].job.pk, news[3].job.pk]


def test_a_statement_tells_since_when_jobs_wait(each_store: Store, kind: JobType, organization: Organization) -> None:
    later = each_store.now() + HOUR
    news = [new_job(kind, organization, hours, run_at=moment) for hours, moment in ((0, None), (9, None), (9, later))]
    assert all(each_store.insert(new) for new in news)
    found = Job.objects.annotate(since=verbs.waits_since()).order_by("pk").values_list("since", flat=True)
    assert list(found) == [news[0].job.created_at, news[1].job.created_at, later]
