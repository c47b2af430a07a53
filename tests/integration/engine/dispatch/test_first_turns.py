"""An organization with nothing in flight, to which a slot is due, goes before what the broker holds."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any, Final

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs import AccessPolicy, get_job_history
from django_jobs.models import EngineLease, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import (
    WORKER,
    MemoryBroker,
    end,
    job_in,
    pending_job,
    pending_jobs,
    queue_for,
    reread,
    returned,
)
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import FIRST_TURN_SECONDS, Claimed, Share

SLOTS: Final = 4
QUEUES: Final = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")
NORMAL: Final = queue_for(1)


class Light(AccessPolicy):
    """Gives one organization little."""

    def weight(self, organization: Any) -> float:
        return 0.3 if organization.name == "ORG-LIGHT" else 1.0


def submit(job: Job) -> list[str]:
    """Dispatch a new job, as its submission does; return the statements of that."""
    with CaptureQueriesContext(connection) as queries:
        verbs.dispatch_new(job)
    return [query["sql"] for query in queries]


def took_the_lock(statements: list[str]) -> bool:
    return any(EngineLease._meta.db_table in sql for sql in statements)


def take(broker: MemoryBroker, count: int = 1) -> list[Claimed]:
    """Start jobs whose tickets are next, as workers do."""
    tickets = [ticket for _ in range(count) if (ticket := broker.take()) is not None]
    return verbs.claim(tickets, WORKER)


def least(broker: MemoryBroker) -> float | None:
    """Return the weight that is known to let a new job go first."""
    return broker.look().first_weights.get(NORMAL)


@pytest.fixture(autouse=True)
def clock(broker: MemoryBroker, tuning: Tuning) -> Clock:
    """A worker with slots, and the clock by which the broker forgets weights and a process that it was full."""
    clock = Clock()
    tuning.set(test_broker_clock=clock, window_clock=clock, first_turns_clock=clock)
    verbs.announce_worker("worker", QUEUES, slots=SLOTS, window=SLOTS)
    return clock


@pytest.fixture
def backlog(broker: MemoryBroker, kind: JobType) -> list[Job]:
    """The jobs of one organization: the broker holds as many as it has room for."""
    large = make_organization(name="ORG-LARGE")
    jobs = pending_jobs(kind, large, 15 * SLOTS)
    verbs.dispatch()
    assert broker.pks() == [job.pk for job in jobs[:SLOTS]]
    assert least(broker) == 1 / (SLOTS - 1)
    return jobs


def test_a_new_job_beside_a_backlog_goes_before_all_that_the_broker_holds(
    broker: MemoryBroker, kind: JobType, backlog: list[Job]
) -> None:
    job = pending_job(kind)
    assert not took_the_lock(submit(job))
    assert (reread(job).status, broker.pks()[0]) == ("Queued", job.pk)


def test_a_pass_lets_it_go_first_as_well(broker: MemoryBroker, kind: JobType, backlog: list[Job]) -> None:
    job = pending_job(kind)
    take(broker, 2)
    verbs.dispatch()
    assert (broker.pks()[0], len(broker.pks())) == (job.pk, SLOTS)


def test_one_job_of_an_organization_goes_first(broker: MemoryBroker, kind: JobType, backlog: list[Job]) -> None:
    tenant = make_organization()
    jobs = [pending_job(kind, tenant) for _ in range(2)]
    take(broker, SLOTS)
    verbs.dispatch()
    first, second = [job.pk for job in jobs]
    assert broker.pks().index(first) == 0 < broker.pks().index(second) - 1


def test_who_has_the_backlog_asks_nobody_beside_a_full_window(
    broker: MemoryBroker, kind: JobType, backlog: list[Job]
) -> None:
    jobs = [pending_job(kind, backlog[0].organization) for _ in range(2)]
    first, second = map(submit, jobs)
    assert not took_the_lock(first)
    assert second == []


def test_without_a_backlog_a_job_beside_others_of_its_organization_needs_no_pass(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    pending_job(kind, organization)
    verbs.dispatch()
    assert least(broker) is not None
    job = pending_job(kind, organization)
    assert not took_the_lock(submit(job))
    assert broker.pks()[-1] == job.pk


@pytest.mark.parametrize("status", ["Queued", "Running"])
def test_one_with_a_job_in_flight_takes_its_turn(
    broker: MemoryBroker, kind: JobType, backlog: list[Job], status: str
) -> None:
    job = pending_job(kind, job_in(status, job_type=kind).organization)
    submit(job)
    assert reread(job).status == "Pending"


@pytest.mark.parametrize("priority", ["Low", "Normal"])
def test_one_of_which_another_job_waits_takes_its_turn(
    broker: MemoryBroker, kind: JobType, organization: Organization, backlog: list[Job], settings: Any, priority: str
) -> None:
    limit = verbs.read_window().most_at_once  # near its limit, the lower priorities count as well
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": limit}
    pending_job(kind, organization, priority=priority)
    job = pending_job(kind, organization)
    submit(job)
    assert reread(job).status == "Pending"


def test_a_more_urgent_job_of_anybody_is_not_passed(
    broker: MemoryBroker, kind: JobType, organization: Organization, backlog: list[Job]
) -> None:
    pending_job(kind, backlog[0].organization, priority="High")
    job = pending_job(kind, organization)
    submit(job)
    assert reread(job).status == "Pending"


@pytest.mark.parametrize(("others", "goes"), [(SLOTS - 2, True), (SLOTS - 1, False)])
def test_where_more_organizations_compete_than_there_are_slots_they_take_turns(
    broker: MemoryBroker, kind: JobType, backlog: list[Job], others: int, goes: bool
) -> None:
    for tenant in [make_organization() for _ in range(others)]:
        for _ in range(2):
            pending_job(kind, tenant)
    take(broker, SLOTS)
    verbs.dispatch()
    job = pending_job(kind)
    submit(job)
    assert (broker.pks()[0] == job.pk) is goes


def test_of_many_that_come_at_once_no_more_go_past_the_window_than_there_are_slots(
    broker: MemoryBroker, kind: JobType, backlog: list[Job]
) -> None:
    jobs = [pending_job(kind) for _ in range(3 * SLOTS)]
    for job in jobs:
        submit(job)
    assert [reread(job).status for job in jobs] == ["Queued"] * SLOTS + ["Pending"] * 2 * SLOTS


def test_one_to_which_less_than_a_slot_is_due_takes_its_turn(
    broker: MemoryBroker, kind: JobType, backlog: list[Job], settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.Light"}
    verbs.forget_tenant_shares()
    light = pending_job(kind, make_organization(name="ORG-LIGHT"))
    submit(light)
    assert reread(light).status == "Pending"
    job = pending_job(kind)
    verbs.forget_window()  # it was full just now
    submit(job)
    assert reread(job).status == "Queued"


def test_near_its_limit_an_organization_takes_its_turn(
    broker: MemoryBroker, kind: JobType, backlog: list[Job], settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 2}
    job = pending_job(kind)
    submit(job)
    assert reread(job).status == "Pending"


@pytest.mark.parametrize("fields", [{"is_paused": True}, {"max_running": 5}])
def test_a_type_that_needs_a_pass_takes_its_turn(
    broker: MemoryBroker, kind: JobType, backlog: list[Job], fields: dict[str, Any]
) -> None:
    job = pending_job(kind)
    JobType.objects.filter(pk=kind.pk).update(**fields)
    submit(job)
    assert reread(job).status == "Pending"


def test_what_runs_in_other_pools_takes_no_slot(broker: MemoryBroker, kind: JobType, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    gpu = make_job_type(pool="gpu")
    for _ in range(SLOTS):
        job_in("Queued", job_type=gpu)
    pending_job(kind)
    verbs.dispatch()
    assert least(broker) == 1 / (SLOTS - 1)


def test_what_a_pass_found_holds_for_a_second(broker: MemoryBroker, backlog: list[Job], clock: Clock) -> None:
    clock.now += FIRST_TURN_SECONDS
    assert least(broker) is None


def test_without_workers_nobody_goes_first(broker: MemoryBroker, kind: JobType) -> None:
    verbs.withdraw_worker("worker")
    verbs.forget_window()
    for _ in range(20):
        pending_job(kind)
    verbs.dispatch()
    assert least(broker) == math.inf


def test_a_broker_that_takes_no_ticket_at_its_front_loses_no_job(
    broker: MemoryBroker, kind: JobType, backlog: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def push_in_vain(*_: Any, **__: Any) -> None:
        broker.is_down = True
        broker.reach()

    job = pending_job(kind)
    with monkeypatch.context() as patch:
        patch.setattr(broker, "push", push_in_vain)
        submit(job)
    assert (reread(job).status, get_job_history(job)[-1]["from_status"]) == ("Pending", "Queued")
    broker.is_down = False
    take(broker, 2)
    verbs.dispatch()
    assert reread(job).status == "Queued"


@pytest.mark.parametrize("fails_at", [1, 2])
def test_what_the_broker_does_not_take_of_a_pass_goes_back(
    broker: MemoryBroker, kind: JobType, backlog: list[Job], monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """A pass pushes twice: what goes first, and the rest."""
    job, pushes, push = pending_job(kind), Counter[str](), broker.push

    def push_once(*args: Any, **options: Any) -> None:
        pushes["all"] += 1
        broker.is_down = pushes["all"] >= fails_at
        push(*args, **options)

    take(broker, SLOTS)
    monkeypatch.setattr(broker, "push", push_once)
    verbs.dispatch_without_budget()
    assert pushes["all"] == 2
    assert reread(job).status == ("Pending" if fails_at == 1 else "Queued")
    assert Job.objects.filter(status="Queued").count() == fails_at - 1


def test_those_who_go_first_hold_up_no_backlog(broker: MemoryBroker, kind: JobType, backlog: list[Job]) -> None:
    """Each of them submits its next job as soon as the one before has ended."""
    tenants = [make_organization() for _ in range(SLOTS - 2)]
    idle, done, draw = {tenant.name: tenant for tenant in tenants}, Counter[str](), random.Random(1)
    running: list[Claimed] = []
    for _ in range(40):
        while len(running) < SLOTS:
            for name in list(idle):
                submit(pending_job(kind, idle.pop(name)))
            verbs.dispatch()
            running += take(broker)
        ended = running.pop(draw.randrange(SLOTS))
        end(returned(ended))
        done[ended.organization] += 1
        idle |= {tenant.name: tenant for tenant in tenants if tenant.name == ended.organization}
    assert done["ORG-LARGE"] >= 40 / SLOTS
    assert min(done[tenant.name] for tenant in tenants) >= 40 / SLOTS / 2


def test_it_needs_a_weight_that_makes_a_slot_due() -> None:
    waiting = {1: Share(1.0, 100), 2: Share(3.0, 100)}
    assert verbs.contest_first_turns(9, {}, waiting).least_weight == 0.5
    assert verbs.contest_first_turns(9, {1, 3, 4}, waiting).least_weight == pytest.approx(4 / 6)
    assert verbs.contest_first_turns(2, {3}, waiting).least_weight == math.inf
    assert verbs.contest_first_turns(0, {}, waiting).least_weight == math.inf


def test_of_those_that_wait_the_own_weight_counts_once() -> None:
    four = {number: Share(1.0, 100) for number in range(4)}
    assert verbs.contest_first_turns(4, set(), four).lets_first(four[0])
    assert not verbs.contest_first_turns(3, set(), four).lets_first(four[0])
    assert not verbs.contest_first_turns(1, set(), four).lets_first(Share(100.0, 100))
