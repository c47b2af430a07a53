"""Head starts: of one priority and organization, the job with the larger one goes first, however it came to wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from django_jobs import retry_job
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Priority
from tests.support import verbs
from tests.support.brokers import (
    ALL_QUEUES,
    WORKER,
    MemoryBroker,
    end,
    pending_job,
    queue_up,
    raised,
    reread,
    returned,
    start,
)
from tests.support.factories import make_job_type, make_organization
from tests.support.head_starts import HOUR, ahead_job, make_task_type, place_of
from tests.support.verbs import SYSTEM, OperationOrder, outcomes

#: What tasks of the numbers 51, 100 and 75 have.
HOURS = (0, 49, 24)


def dispatched(broker: MemoryBroker) -> list[int]:
    """The jobs that have tickets after a pass, the first one first."""
    verbs.dispatch()
    return broker.pks()


def in_order(jobs: Iterable[Job]) -> list[int]:
    return [job.pk for job in sorted(jobs, key=lambda job: -job.head_start)]


@pytest.fixture
def _room(broker: MemoryBroker) -> None:
    """Room for two jobs at once."""
    verbs.announce_worker(WORKER, ALL_QUEUES, slots=2)


def test_the_larger_goes_first(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    jobs = [ahead_job(hours, kind, organization, priority="Critical") for hours in HOURS]
    assert dispatched(broker) == in_order(jobs)


def test_it_does_so_among_the_types_of_an_organization(broker: MemoryBroker, organization: Organization) -> None:
    jobs = [ahead_job(hours, make_job_type(), organization) for hours in HOURS]
    assert dispatched(broker) == in_order(jobs)


def test_jobs_of_the_same_go_in_the_order_of_their_submission(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    jobs = [ahead_job(24, kind, organization) for _ in range(3)]
    assert dispatched(broker) == [job.pk for job in jobs]


def test_who_has_waited_for_longer_than_the_difference_goes_first(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    old, new = ahead_job(0, kind, organization), ahead_job(24, kind, organization)
    Job.objects.filter(pk=old.pk).update(ready_at=verbs.now() - 25 * HOUR)
    assert dispatched(broker) == [old.pk, new.pk]


def test_the_priority_comes_before_it(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    low = ahead_job(99, kind, organization, priority="Low")
    high = pending_job(kind, organization, priority="High")
    assert dispatched(broker) == [high.pk, low.pk]


@pytest.mark.usefixtures("_room")
def test_a_neighbor_has_its_turns_as_ever(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    ahead = [ahead_job(hours, kind, organization) for hours in HOURS]
    neighbor = make_organization()
    plain = [pending_job(kind, neighbor) for _ in range(3)]
    turns = []
    for _ in range(3):
        verbs.dispatch()
        turns.append(sorted(job.organization_id for job in map(_job, broker.take_all())))
        for job in Job.objects.filter(status="Queued"):
            end(returned(start(job)))
    assert turns == [sorted([organization.pk, neighbor.pk])] * 3
    assert _started(ahead) == in_order(ahead)
    assert _started(plain) == [job.pk for job in plain]


def _job(ticket: Any) -> Job:
    return Job.objects.get(pk=ticket.pk)


def _started(jobs: list[Job]) -> list[int]:
    rows = Job.objects.filter(pk__in=[job.pk for job in jobs], started_at__isnull=False)
    return list(rows.order_by("queued_at", "pk").values_list("pk", flat=True))


# -- of tasks, in whatever share of a pass their types would have ------------------------------------------------------


@pytest.mark.usefixtures("_room")
def test_of_tasks_a_type_with_many_large_ones_takes_all_of_a_pass(
    broker: MemoryBroker, organization: Organization
) -> None:
    first, second = make_task_type("first"), make_task_type("second")
    small = [ahead_job(0, first, organization, priority="High") for _ in range(2)]
    large = [ahead_job(hours, second, organization, priority="High") for hours in (48, 49)]
    assert dispatched(broker) == in_order(large)
    broker.take_all()
    for job in large:
        end(returned(start(reread(job))))
    assert dispatched(broker) == [job.pk for job in small]


@pytest.mark.usefixtures("_room")
@pytest.mark.parametrize("priority", ["Normal", "High"])
def test_other_types_have_even_shares_of_a_pass(
    broker: MemoryBroker, organization: Organization, priority: str
) -> None:
    make = make_task_type if priority == "Normal" else lambda name: make_job_type(type_name=name)
    for name in ("first", "second"):
        kind = make(name)
        for _ in range(2):
            pending_job(kind, organization, priority=priority)
    assert len({Job.objects.get(pk=pk).job_type_id for pk in dispatched(broker)}) == 2


# -- however a job came to wait ----------------------------------------------------------------------------------------


def test_after_its_moment_has_come(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    soon = verbs.now() + HOUR
    plain = pending_job(kind, organization)
    jobs = [ahead_job(hours, kind, organization, run_at=soon) for hours in HOURS]
    assert [reread(job).ready_at for job in jobs] == [soon] * 3
    Job.objects.filter(is_delayed=True).update(ready_at=verbs.now())
    assert verbs.bring_due() == 3
    assert dispatched(broker) == [*in_order(jobs)[:2], plain.pk, jobs[0].pk]


def test_after_a_retry(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    failed = ahead_job(24, kind, organization)
    end(raised(start(failed)))
    assert reread(failed).is_delayed
    Job.objects.filter(pk=failed.pk).update(ready_at=verbs.now())
    verbs.bring_due()
    others = [ahead_job(hours, kind, organization) for hours in (0, 25)]
    assert dispatched(broker) == [others[1].pk, failed.pk, others[0].pk]


def test_after_a_retry_by_hand(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    first, dead = pending_job(kind, organization), ahead_job(24, kind, organization)
    end(raised(start(dead), "Permanent"))
    retry_job(reread(dead))
    assert dispatched(broker) == [dead.pk, first.pk]


def test_after_it_put_itself_off(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    later = ahead_job(24, kind, organization)
    end(outcomes.Postponed(claimed=start(later), delay=60, text="later"))
    row = reread(later)
    assert (row.ready_at, row.is_delayed) == (row.run_at, True)


def test_after_its_parents_have_ended(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    parent = pending_job(kind, organization)
    soon = verbs.now() + HOUR
    children = [
        ahead_job(24, kind, organization, depends_on=[parent], run_at=moment)
        for moment in (None, soon, soon - 2 * HOUR)
    ]
    end(returned(start(parent)))
    other = pending_job(kind, organization)
    verbs.follow_up()
    assert (reread(children[1]).ready_at, reread(children[1]).is_delayed) == (soon, True)
    assert dispatched(broker) == [children[0].pk, children[2].pk, other.pk]


def test_after_it_lost_its_ticket(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    other, job = pending_job(kind, organization), queue_up(ahead_job(24, kind, organization))
    verbs.unqueue([job.pk], "no broker")
    assert abs(verbs.now() - 24 * HOUR - place_of(job)) < HOUR / 60
    assert dispatched(broker) == [job.pk, other.pk]


def test_after_it_was_replaced(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    other = pending_job(kind, organization)
    how: dict[str, Any] = {"unique_key": "k", "deduplication_window": 300, "on_duplicate": "replace"}
    job = pending_job(kind, organization, **how)
    assert ahead_job(24, kind, organization, **how).pk == job.pk
    assert reread(job).head_start == 24
    assert dispatched(broker) == [job.pk, other.pk]
    ahead_job(12, kind, organization, **how)
    assert abs(verbs.now() - 12 * HOUR - place_of(job)) < HOUR / 60
    ahead_job(12, kind, organization, run_at=verbs.now() + HOUR, **how)
    assert reread(job).ready_at == reread(job).run_at


def test_after_it_was_told_to_run_now(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    other, job = pending_job(kind, organization), ahead_job(24, kind, organization, run_at=verbs.now() + HOUR)
    assert verbs.perform_operation(OperationOrder("run_now", SYSTEM), [job.pk]).changed == {job.pk}
    assert dispatched(broker) == [job.pk, other.pk]


def test_a_priority_that_somebody_gives_has_no_place_within_it(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    waiting, queued = ahead_job(99, kind, organization), queue_up(ahead_job(99, kind, organization))
    later = ahead_job(99, kind, organization, run_at=verbs.now() + HOUR)
    pks = [waiting.pk, queued.pk, later.pk]
    assert verbs.perform_operation(OperationOrder("set_priority", SYSTEM, Priority.HIGH), pks).changed == {*pks}
    assert {reread(job).head_start for job in (waiting, queued, later)} == {0}
    assert all(abs(verbs.now() - place_of(job)) < HOUR / 60 for job in (waiting, queued))
