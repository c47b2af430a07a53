"""What the dispatcher and a new job decide at the same moment, or two new jobs: the limit of an organization holds."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_jobs import submit_job
from django_jobs.models import EngineLease, ExecutionLog, Job, JobType, Organization
from django_jobs.statuses import Priority, Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, run_crowd
from tests.concurrency.test_dispatch_lock import waits_for_a_lock
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, queue_for, reread, start
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import Condition, Interpose, Queued
from tests.support.waiting import wait_until

WAIT_SECONDS = 30.0


@pytest.fixture(autouse=True)
def row_locks(transactional_db: None) -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("This database locks no single rows.")
    EngineLease.objects.create(name=verbs.DISPATCH_LEASE)  # who makes it in an open transaction holds up the others


@pytest.fixture
def kind() -> JobType:
    return make_job_type()


@pytest.fixture
def organization(settings: Any) -> Organization:
    """One that may have a single job in flight."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 1}
    return make_organization()


@contextmanager
def uncommitted(work: Callable[[], object]) -> Iterator[None]:
    """Do ``work`` in another thread's transaction, which commits when the block ends."""
    is_done, may_commit = threading.Event(), threading.Event()

    def run() -> None:
        with transaction.atomic():
            work()
            is_done.set()
            may_commit.wait(WAIT_SECONDS)
        connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert is_done.wait(WAIT_SECONDS)
    yield
    may_commit.set()
    thread.join(WAIT_SECONDS)


def waiting_job(broker: CrowdedBroker, kind: JobType, organization: Organization, priority: str = "Normal") -> Job:
    """A job that was submitted while the broker was full."""
    broker.is_full = True
    job = submit_job(kind, organization, priority=priority)
    broker.is_full = False
    verbs.forget_window()
    return job


@pytest.mark.parametrize("second", ["Normal", "High"])
def test_a_job_that_the_dispatcher_is_queuing_counts_for_the_limit(
    broker: CrowdedBroker, kind: JobType, organization: Organization, second: str
) -> None:
    waiting_job(broker, kind, organization)
    with uncommitted(verbs.fill_window):
        job = submit_job(kind, organization, {"number": 2}, priority=second)
    assert reread(job).status == "Pending"


@pytest.mark.parametrize("second", ["Normal", "High"])
def test_a_job_that_another_submission_is_queuing_counts_for_the_limit(
    broker: CrowdedBroker, kind: JobType, organization: Organization, second: str
) -> None:
    first = waiting_job(broker, kind, organization)
    with uncommitted(lambda: verbs.dispatch_new(first)):
        submit_job(kind, organization, {"number": 2}, priority=second)
    assert Job.objects.filter(status=Status.QUEUED).count() == 1


@pytest.mark.parametrize("verb", [verbs.wake, verbs.dispatch_patiently, verbs.dispatch])
def test_who_finds_another_submitter_at_work_dispatches_after_it(
    broker: CrowdedBroker,
    kind: JobType,
    organization: Organization,
    interpose: Interpose,
    tuning: Tuning,
    verb: Callable[[], int],
) -> None:
    tuning.set(dispatch_pauses_seconds=(0.01,) * 1_000)  # this machine may be slow
    tuning.set(dispatch_lock_wait_seconds=WAIT_SECONDS)
    job = waiting_job(broker, kind, organization)
    take, has_missed = verbs.take_dispatch_lock, threading.Event()

    def noted(seconds: float = 0.0) -> EngineLease | None:
        lease = take(seconds)
        if lease is None:
            has_missed.set()
        return lease

    with ThreadPoolExecutor(1) as pool:
        with uncommitted(take):
            interpose("take_dispatch_lock", noted)
            waiting = pool.submit(verb)
            assert has_missed.wait(WAIT_SECONDS)
        assert waiting.result(WAIT_SECONDS) == 1
        pool.submit(connections.close_all).result(WAIT_SECONDS)
    assert reread(job).status == "Queued"


def test_a_bell_is_heard_also_where_a_pass_has_filled_the_broker_for_less_urgent_jobs(
    broker: CrowdedBroker, kind: JobType, settings: Any, interpose: Interpose
) -> None:
    """Who rang may have given up, since the broker was slow."""
    organization = make_organization()
    low = [waiting_job(broker, kind, organization, "Low") for _ in range(20)]
    urgent: list[Job] = []
    fill_window = verbs.fill_window

    def fill_while_another_submits(seconds: float = 0.0) -> Queued | None:
        moved = fill_window(seconds)
        if not urgent:
            urgent.append(pool.submit(waiting_job, broker, kind, organization, "Critical").result(WAIT_SECONDS))
            pool.submit(connections.close_all).result(WAIT_SECONDS)
            broker.ring()
        return moved

    interpose("fill_window", fill_while_another_submits)
    with ThreadPoolExecutor(1) as pool:
        assert verbs.refill(Priority.LOW) > 0
    assert Job.objects.filter(pk__in=[job.pk for job in low], status=Status.PENDING).exists()
    assert reread(urgent[0]).status == "Queued"


@contextmanager
def line_at_the_lock(members: int) -> Iterator[None]:
    """Let others wait in line for the lock all the time, as workers do that take shares of a backlog."""
    may_end, are_in_line = threading.Event(), threading.Barrier(members + 1)

    def take_shares() -> None:
        are_in_line.wait(WAIT_SECONDS)
        while not may_end.is_set():
            with transaction.atomic():
                if verbs.take_dispatch_lock(verbs.DISPATCH_LOCK_WAIT_SECONDS) is not None:
                    time.sleep(0.005)
        connections.close_all()

    with ThreadPoolExecutor(members) as pool:
        shares_taken = [pool.submit(take_shares) for _ in range(members)]
        are_in_line.wait(WAIT_SECONDS)
        time.sleep(0.05)
        try:
            yield
        finally:
            may_end.set()
        for item in shares_taken:
            item.result(WAIT_SECONDS)


def test_who_submits_has_a_turn_beside_those_who_always_wait_in_line(
    broker: CrowdedBroker, kind: JobType, organization: Organization, tuning: Tuning
) -> None:
    """Workers that take shares may serve other queues, and so never take its job."""
    if connection.vendor != "postgresql":
        pytest.skip("Only there somebody waits in line.")
    tuning.set(dispatch_lock_wait_seconds=WAIT_SECONDS)  # the line may be slow
    job = waiting_job(broker, kind, organization)
    with line_at_the_lock(4):
        verbs.wake()
        assert reread(job).status == "Queued"


def test_while_another_dispatcher_has_the_lock_nothing_is_dispatched_and_who_may_have_to_give_up_rings(
    broker: CrowdedBroker, kind: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(dispatch_pauses_seconds=(0.001,), dispatch_lock_wait_seconds=0.01)
    job = waiting_job(broker, kind, organization)
    with uncommitted(verbs.take_dispatch_lock):
        assert verbs.dispatch() == 0
        assert verbs.dispatch_what_is_left()  # or about to be
        assert broker.rings == 0  # two in the background would go on for each other
        assert verbs.wake() == 0
    assert (reread(job).status, broker.rings) == ("Pending", 1)
    assert verbs.dispatch() == 1


def test_a_share_that_is_being_taken_counts_for_the_limit(
    broker: CrowdedBroker, kind: JobType, organization: Organization, settings: Any
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("Only there shares are taken.")
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 60}
    jobs = [waiting_job(broker, kind, organization, "Low") for _ in range(61)]
    verbs.announce_worker("worker-1", ["jobs-low"], slots=4)
    verbs.forget_window()
    start(jobs[0])  # so that the policy's answer is known
    with uncommitted(lambda: verbs.take_share([queue_for(Priority.LOW)], 100, "worker-1", len, lambda _: None)):
        submit_job(kind, organization, priority="High")
    assert Job.objects.filter(status__in=[Status.QUEUED, Status.RUNNING]).count() <= 60


def went_at_once(job: Job) -> bool:
    """Whether the statement that stored the job queued it: only then both log rows are of one transaction."""
    transactions = dict(ExecutionLog.objects.filter(job=job).values_list("to_status", "transaction_id"))
    return transactions.get(Status.QUEUED) == transactions[Status.PENDING]


@pytest.fixture
def at_once(broker: CrowdedBroker, kind: JobType) -> Organization:
    """An organization whose new jobs are queued by the statement that stores them."""
    if not verbs.store().queues_new_jobs:
        pytest.skip("This store does not queue new jobs.")
    organization = make_organization()
    assert went_at_once(submit_job(kind, organization))
    Job.objects.all().delete()
    broker.pushed.clear()
    return organization


def lock() -> None:
    """What a statement does that queues a new job."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {verbs.new_job_lock_sql()}")


def let_none_go_without_a_turn(interpose: Interpose) -> None:
    interpose("condition_when_stored", lambda *_: None)


def test_of_two_new_jobs_at_the_same_moment_one_is_queued_at_once(kind: JobType, at_once: Organization) -> None:
    with uncommitted(lock):
        assert not went_at_once(submit_job(kind, at_once, {"number": 1}))
    verbs.SHORT_WAY_TRIES.forget()
    assert went_at_once(submit_job(kind, at_once, {"number": 2}))


def test_the_dispatcher_leaves_room_for_a_job_that_is_stored_as_queued_at_this_moment(
    broker: CrowdedBroker, kind: JobType, at_once: Organization, settings: Any
) -> None:
    """It may be one of any organization."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 3}
    with uncommitted(lock):
        for number in range(4):
            submit_job(kind, at_once, {"number": number})
        assert Job.objects.filter(status=Status.QUEUED).count() == 2
    verbs.dispatch()
    assert Job.objects.filter(status=Status.QUEUED).count() == 3


def test_while_the_dispatcher_works_no_new_job_is_stored_as_queued(
    broker: CrowdedBroker, kind: JobType, at_once: Organization
) -> None:
    with uncommitted(verbs.fill_window):
        assert not went_at_once(submit_job(kind, at_once, {"number": 1}))


def test_a_slow_look_at_what_is_in_flight_does_not_let_many_new_jobs_pass(
    kind: JobType, at_once: Organization, interpose: Interpose, settings: Any
) -> None:
    """Each statement sees what was true when it began, and they end one after the other.

    None goes without a turn: beside one that does, a pass that counted before it may let one too many go.
    """
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 4}
    let_none_go_without_a_turn(interpose)
    numbers = itertools.count()
    goes_at_once = verbs.condition_at_insert

    def goes_slowly(*args: Any) -> Condition | None:
        found = goes_at_once(*args)
        if found is None:
            return None
        seconds = 0.3 + 0.05 * next(numbers)
        return verbs.all_of(Condition("pg_sleep(%s) IS NOT NULL", (seconds,)), found)

    interpose("condition_at_insert", goes_slowly)
    run_crowd([functools.partial(submit_job, kind, at_once, {"number": number}) for number in range(8)])
    verbs.dispatch()
    assert Job.objects.filter(status=Status.QUEUED).count() == 4


def test_who_waited_for_the_same_work_of_an_open_transaction_is_not_queued_at_once(
    kind: JobType, at_once: Organization
) -> None:
    same: dict[str, Any] = {"parameters": {"number": 1}, "deduplication_window": 60}
    may_roll_back = threading.Event()

    def submit_and_roll_back() -> None:
        with transaction.atomic():
            submit_job(kind, at_once, **same)
            is_submitted.set()
            may_roll_back.wait(WAIT_SECONDS)
            transaction.set_rollback(True)

    is_submitted = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(submit_and_roll_back)
        assert is_submitted.wait(WAIT_SECONDS)
        waiting = pool.submit(submit_job, kind, at_once, **same)
        wait_until(waits_for_a_lock, WAIT_SECONDS, "the second to wait for the first")
        time.sleep(0.2)  # less than a tenth of a second is no waiting
        may_roll_back.set()
        assert not went_at_once(waiting.result(WAIT_SECONDS))
        other.result()
        for _ in range(2):
            pool.submit(connections.close_all)


@pytest.mark.parametrize("all_take_turns", [True, False])
def test_jobs_submitted_at_once_keep_the_limit_and_each_has_one_ticket(
    broker: CrowdedBroker,
    kind: JobType,
    at_once: Organization,
    interpose: Interpose,
    settings: Any,
    all_take_turns: bool,
) -> None:
    """Beside a job that goes without a turn, a pass that counted before it may let one too many go."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 12}
    verbs.announce_worker("a-large-worker", ALL_QUEUES, slots=5_000)
    verbs.forget_window()
    priorities = ["Low", "Normal", "High", "Critical"]
    others = make_organization()
    unseen = len(priorities)
    if all_take_turns:
        let_none_go_without_a_turn(interpose)
        unseen = 0

    def submit_some(number: int) -> Callable[[], None]:
        def run() -> None:
            for index in range(12):
                organization = at_once if index % 4 else others
                submit_job(kind, organization, {"number": number, "index": index}, priorities[(number + index) % 4])

        return run

    run_crowd([submit_some(number) for number in range(6)])

    verbs.dispatch()
    queued = Job.objects.filter(status=Status.QUEUED)
    for organization in (at_once, others):
        assert 12 <= queued.filter(organization=organization).count() <= 12 + unseen
    assert sorted(broker.pushed) == sorted(f"{job.name}-1" for job in queued)
    assert_histories_are_chains()
