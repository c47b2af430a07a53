"""How many jobs of a held type the dispatcher may queue, and when more."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.models import Breaker, EngineLease, Job, JobType, Organization
from django_jobs.statuses import BreakerState
from tests.support import verbs
from tests.support.breakers import PAUSE, breaker_of, claim_try, let_go, let_pass, make_fragile_type, open_by_failures
from tests.support.brokers import ALL_QUEUES, WORKER, MemoryBroker, end, pending_job, reread, returned
from tests.support.factories import make_job_type
from tests.support.verbs import Interpose

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def held() -> JobType:
    """A type whose breaker just opened."""
    kind = make_fragile_type()
    open_by_failures(kind)
    return kind


def have_it_recover(kind: JobType) -> None:
    pending_job(kind)
    end(returned(claim_try(kind)))


def test_where_all_are_closed_none_is_held() -> None:
    Breaker.objects.create(job_type=make_fragile_type(), failures=1)
    found = verbs.read_held_breakers()
    assert (found.more_allowed({}), found.next_change()) == ({}, None)


def test_none_goes_until_it_is_time_to_try(held: JobType) -> None:
    found = verbs.read_held_breakers()
    assert found.more_allowed({}) == {(None, held.pk): 0}
    assert PAUSE - 10 < (found.next_change() or 0) <= PAUSE


def test_one_goes_to_try_whatever_is_in_flight_and_the_next_after_the_pause(held: JobType) -> None:
    let_pass(held, PAUSE)
    found = verbs.read_held_breakers()
    assert (found.more_allowed({(None, held.pk): 40}), found.next_change()) == ({(None, held.pk): 1}, None)
    found.note_tries({held.pk: 1, "another": 2})
    later = verbs.read_held_breakers()
    assert later.more_allowed({}) == {(None, held.pk): 0}
    assert PAUSE - 10 < (later.next_change() or 0) <= PAUSE


def test_a_try_says_nothing_of_a_breaker_that_was_opened_again_meanwhile(held: JobType) -> None:
    let_pass(held, PAUSE)
    found = verbs.read_held_breakers()
    Breaker.objects.update(opened_at=verbs.now(), next_try_at=None, tries_since=None)
    found.note_tries({held.pk: 1})
    row = breaker_of(held)
    assert (row.next_try_at, row.tries_since) == (None, None)


def test_where_none_was_picked_it_is_time_still(held: JobType) -> None:
    let_pass(held, PAUSE)
    verbs.read_held_breakers().note_tries({held.pk: 0})
    assert verbs.read_held_breakers().more_allowed({}) == {(None, held.pk): 1}


def test_a_try_that_waits_for_a_worker_is_followed_by_none(held: JobType) -> None:
    pending_job(held)
    let_pass(held, PAUSE)
    assert len(let_go(held)) == 1
    let_pass(held, PAUSE - 1)
    Breaker.objects.update(next_try_at=None)
    assert verbs.read_held_breakers().more_allowed({}) == {(None, held.pk): 0}


def test_a_try_that_hangs_is_followed_by_another(held: JobType) -> None:
    pending_job(held)
    claim_try(held)
    let_pass(held, PAUSE)
    assert verbs.read_held_breakers().more_allowed({(None, held.pk): 1}) == {(None, held.pk): 1}


@pytest.mark.parametrize("fields", [{"is_paused": True}, {"is_enabled": False}], ids=["paused", "disabled"])
def test_of_a_type_that_is_closed_none_tries(held: JobType, fields: dict[str, bool]) -> None:
    let_pass(held, PAUSE)
    JobType.objects.filter(pk=held.pk).update(**fields)
    found = verbs.read_held_breakers()
    assert (found.more_allowed({}), found.next_change()) == ({(None, held.pk): 0}, None)


def test_while_it_recovers_ever_more_are_in_flight(held: JobType, interpose: Interpose) -> None:
    have_it_recover(held)
    now = verbs.now()
    interpose("now", lambda: now)  # else the next second may begin meanwhile
    Breaker.objects.update(recovering_since=now - dt.timedelta(seconds=0.5))
    assert verbs.read_held_breakers().more_allowed({(None, held.pk): 1}) == {(None, held.pk): 1}
    let_pass(held, 3)
    found = verbs.read_held_breakers()
    assert found.more_allowed({(None, held.pk): 1}) == {(None, held.pk): 15}
    assert found.more_allowed({(None, held.pk): 99}) == {(None, held.pk): 0}
    assert 0 < (found.next_change() or 0) <= 1


def test_of_a_rate_and_a_breaker_the_earlier_moment_is_noted(held: JobType, broker: MemoryBroker) -> None:
    rated = make_job_type(max_starts=1)
    broker.is_down = True
    jobs = [pending_job(rated) for _ in range(2)]
    broker.is_down = False
    assert len(queued() & {job.pk for job in jobs}) == 1
    moment = EngineLease.objects.get(pk=verbs.DISPATCH_LEASE).state["next_at"]
    assert moment - verbs.now().timestamp() < PAUSE / 2


def test_after_ten_seconds_it_is_closed(held: JobType) -> None:
    have_it_recover(held)
    let_pass(held, 10)
    assert verbs.read_held_breakers().more_allowed({}) == {}
    row = breaker_of(held)
    assert (row.state, row.opened_at, row.recovering_since) == (BreakerState.CLOSED, None, None)


def test_one_that_is_switched_off_is_closed(held: JobType) -> None:
    JobType.objects.filter(pk=held.pk).update(breaker_failures=0)
    assert verbs.read_held_breakers().more_allowed({}) == {}
    assert breaker_of(held).state == BreakerState.CLOSED


def test_only_types_with_a_breaker_may_be_held(held: JobType) -> None:
    assert verbs.breaker_may_hold(held)
    assert not verbs.breaker_may_hold(make_job_type())


@pytest.fixture
def held_one(organization: Organization) -> JobType:
    """A type whose breaker just opened for one organization."""
    kind = make_fragile_type()
    open_by_failures(kind, organization)
    Job.objects.update(status="Canceled", ready_at=None)
    return kind


def queued() -> set[int]:
    verbs.dispatch()
    return set(Job.objects.filter(status="Queued").values_list("pk", flat=True))


def test_for_another_tenants_failures_no_tenants_jobs_wait(held_one: JobType, organization: Organization) -> None:
    mine, theirs = pending_job(held_one, organization), pending_job(held_one)
    assert queued() == {theirs.pk}
    let_pass(held_one, PAUSE)
    second = pending_job(held_one, organization)
    assert queued() == {theirs.pk, mine.pk}
    let_pass(held_one, PAUSE)
    assert queued() == {theirs.pk, mine.pk}  # a try waits for a worker
    assert reread(second).status == "Pending"


def test_of_all_that_wait_one_tries(held: JobType) -> None:
    jobs = {pending_job(held, priority=priority).pk for priority in ("Low", "High", "Normal")}
    let_pass(held, PAUSE)
    assert len(queued() & jobs) == 1


def test_what_others_queue_is_no_try(held_one: JobType, organization: Organization) -> None:
    let_pass(held_one, PAUSE)
    theirs = pending_job(held_one)
    assert queued() == {theirs.pk}
    mine = pending_job(held_one, organization)
    assert queued() == {theirs.pk, mine.pk}
    Job.objects.filter(pk=mine.pk).update(status="Running")  # and hangs
    let_pass(held_one, PAUSE)
    assert pending_job(held_one).pk in queued()
    assert pending_job(held_one, organization).pk in queued()


def test_while_it_recovers_for_one_organization_only_that_one_goes_slowly(
    held_one: JobType, organization: Organization
) -> None:
    pending_job(held_one, organization)
    end(returned(claim_try(held_one)))
    mine = [pending_job(held_one, organization) for _ in range(8)]
    theirs = [pending_job(held_one) for _ in range(4)]
    verbs.announce_worker(WORKER, ALL_QUEUES, slots=100)
    # Within its first second, however slow the machine is.
    Breaker.objects.filter(recovering_since__isnull=False).update(
        recovering_since=verbs.now() + dt.timedelta(seconds=4)
    )
    assert queued() >= {job.pk for job in theirs}
    assert len(queued() & {job.pk for job in mine}) == 2
