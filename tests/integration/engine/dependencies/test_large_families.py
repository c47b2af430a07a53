"""Families that are larger than a page: they move in many small transactions, and whoever comes next goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from django_jobs import cancel_job, retry_job, submit_jobs
from django_jobs.models import DependencyTask, Job
from tests.support import verbs
from tests.support.brokers import MemoryBroker
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization
from tests.support.families import Submitter, complete, kill
from tests.support.tuning import Tuning
from tests.support.verbs import Decided, Interpose, Scheduler

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_is_dispatched")]

PAGE = 10
CHILDREN = 35


@pytest.fixture
def submit(transactional_db: None) -> Submitter:
    return Submitter(make_job_type(), make_organization())


@pytest.fixture
def pages(interpose: Interpose, tuning: Tuning) -> list[int]:
    """How many jobs were decided at once, page by page."""
    decide = verbs.decide_children
    sizes: list[int] = []

    def counting(pks: Sequence[int]) -> Decided:
        sizes.append(len(pks))
        return decide(pks)

    tuning.set(follow_up_page_jobs=PAGE)
    interpose("decide_children", counting)
    return sizes


def parent_of_many(submit: Submitter) -> Job:
    parent = submit()
    item = {"job_type": submit.kind, "organization": submit.organization, "depends_on": [parent.name]}
    submit_jobs([item] * CHILDREN)
    verbs.follow_up()
    return parent


def count(**fields: Any) -> int:
    return Job.objects.filter(**fields).count()


def test_the_children_of_a_canceled_parent_end_page_by_page(submit: Submitter, pages: list[int]) -> None:
    parent = parent_of_many(submit)
    pages.clear()
    cancel_job(parent)
    assert pages == [PAGE + 1, PAGE, PAGE, CHILDREN - 3 * PAGE]
    assert (count(status="Canceled"), DependencyTask.objects.exists()) == (CHILDREN + 1, False)


def test_they_are_released_die_and_live_again_page_by_page(submit: Submitter, pages: list[int]) -> None:
    parent = parent_of_many(submit)
    pages.clear()
    kill(parent)
    assert count(is_orphaned=True) == CHILDREN
    retry_job(parent)
    assert count(status="Pending", ready_at__isnull=True) == CHILDREN
    complete(parent)
    assert count(status="Pending", ready_at__isnull=False) == CHILDREN
    assert max(pages) == PAGE + 1
    assert not DependencyTask.objects.exists()


@pytest.fixture
def tired(interpose: Interpose, tuning: Tuning) -> Clock:
    """Each page takes 0.2 seconds; the clock stands still between."""
    clock = Clock()
    decide = verbs.decide_children

    def slow(pks: Sequence[int]) -> Decided:
        clock.now += 0.2
        return decide(pks)

    tuning.set(follow_up_clock=clock, follow_up_commit_seconds=0.3)
    interpose("decide_children", slow)
    return clock


def test_the_caller_does_a_part_and_the_scheduler_the_rest(
    submit: Submitter, pages: list[int], tired: Clock, broker: MemoryBroker
) -> None:
    parent = parent_of_many(submit)
    cancel_job(parent)
    assert count(status="Canceled") == 1 + 2 * PAGE
    Scheduler("test").tick()
    assert (count(status="Canceled"), DependencyTask.objects.exists()) == (CHILDREN + 1, False)


def test_whoever_comes_after_a_dead_process_goes_on_where_it_was(
    submit: Submitter, pages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = parent_of_many(submit)
    decide = verbs.decide_children
    calls = iter([decide, decide])

    def mortal(pks: Sequence[int]) -> Decided:
        call = next(calls, None)
        if call is None:
            raise SystemExit
        return call(pks)

    with monkeypatch.context() as patch:
        Interpose(patch)("decide_children", mortal)
        with pytest.raises(SystemExit):
            cancel_job(parent)
    assert count(status="Canceled") == 1 + 2 * PAGE
    pages.clear()
    verbs.follow_up()
    assert pages == [PAGE, CHILDREN - 3 * PAGE]
    assert (count(status="Canceled"), DependencyTask.objects.exists()) == (CHILDREN + 1, False)


def test_a_small_family_does_not_wait_behind_a_large_one(submit: Submitter, pages: list[int], tired: Clock) -> None:
    large, small = parent_of_many(submit), submit()
    child = submit(small)
    verbs.follow_up()
    tired.now = 0
    DependencyTask.objects.bulk_create([DependencyTask(job_id=job.pk) for job in (large, small)])
    Job.objects.filter(pk__in=[large.pk, small.pk]).update(status="Completed", ready_at=None)
    verbs.follow_up(0.3)
    assert count(pk=child.pk, ready_at__isnull=False) == 1
    assert count(ready_at__isnull=False) == 1 + PAGE


def test_many_families_that_fill_several_pages_are_all_looked_at(submit: Submitter, pages: list[int]) -> None:
    parents = [submit() for _ in range(7)]
    for parent in parents:
        for _ in range(4):
            submit(parent)
    verbs.follow_up()
    pages.clear()
    Job.objects.filter(pk__in=[parent.pk for parent in parents]).update(status="Completed", ready_at=None)
    DependencyTask.objects.bulk_create([DependencyTask(job_id=parent.pk) for parent in parents])
    verbs.follow_up()
    assert (count(ready_at__isnull=False), DependencyTask.objects.exists()) == (28, False)
    assert max(pages) <= PAGE + len(parents)
