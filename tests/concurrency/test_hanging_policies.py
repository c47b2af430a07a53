"""A policy that hangs for one tenant holds up what is about that tenant, and nothing else."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction

from django_jobs import AccessPolicy, cancel_job, get_batch_status, submit_job
from django_jobs.exceptions import PolicyFailed
from django_jobs.models import BatchChange, Job, JobType, Membership, Organization, Schedule, ScheduleFiring
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import make_queued, run_crowd
from tests.support import verbs
from tests.support.batches import make_batch
from tests.support.brokers import WORKER, end, reread, returned, start, ticket_of
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.schedules import NOON, make_schedule
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("broker")


class Hanging(AccessPolicy):
    """Hangs whenever it is asked about tenants, until it is let go."""

    tenants: ClassVar[set[Any]] = set()
    goes_on: ClassVar[threading.Event] = threading.Event()
    asked: ClassVar[list[str]] = []
    answered: ClassVar[list[str]] = []

    def is_active(self, organization: Any) -> bool:
        return self._answer("is_active", organization)

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return self._answer("can_submit", organization) and super().can_submit(user, organization, job_type)

    def can_cancel(self, user: Any, job: Job) -> bool:
        return self._answer("can_cancel", job.organization)

    def _answer(self, name: str, organization: Any) -> bool:
        if organization.pk in self.tenants:
            self.asked.append(name)
            self.goes_on.wait(60)
            self.answered.append(name)
        return True


class HangingWhenMade(AccessPolicy):
    """Asks somebody else for what it needs, who does not answer until it is let go."""

    goes_on: ClassVar[threading.Event] = threading.Event()

    def __init__(self) -> None:
        self.goes_on.wait(20)


@pytest.fixture
def hanging() -> Organization:
    """The tenant for which the policy will hang."""
    return make_organization()


@pytest.fixture
def other() -> Organization:
    return make_organization()


@pytest.fixture
def hang(settings: Any, hanging: Organization) -> Iterator[Callable[..., None]]:
    """From its call on the policy hangs."""

    def begin(**others: Any) -> None:
        settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.Hanging", **others}
        Hanging.tenants.add(hanging.pk)

    Hanging.goes_on.clear()
    Hanging.asked.clear()
    Hanging.answered.clear()
    yield begin
    let_go()


def let_go() -> None:
    Hanging.tenants.clear()
    Hanging.goes_on.set()
    wait_until(
        lambda: not any(item.name == "host's code" and is_busy(item) for item in threading.enumerate()), 20, "all"
    )


def is_busy(thread: threading.Thread) -> bool:
    from django_jobs.engine import deadlines

    return thread not in deadlines._idle


def seconds_of(function: Callable[[], object]) -> float:
    started = time.monotonic()
    function()
    return time.monotonic() - started


def member_of(*organizations: Organization) -> User:
    return make_user("member", admin_of=list(organizations))


@pytest.fixture
def open_kind() -> JobType:
    return make_job_type(submit_by="members", deduplication_window=0)


def test_an_answer_that_does_not_come_in_time_is_a_failure_of_the_policy(
    hang: Callable[..., None], hanging: Organization, other: Organization, open_kind: JobType
) -> None:
    user, jobs = member_of(hanging, other), [submit_job(open_kind, item) for item in (hanging, other)]
    hang(POLICY_SECONDS=0.2)
    with pytest.raises(PolicyFailed) as failure:
        submit_job(open_kind, hanging, user=user)
    assert isinstance(failure.value.__cause__, TimeoutError)
    assert "self.goes_on.wait" in str(failure.value.__cause__.__notes__)  # where it hangs, for the log
    assert submit_job(open_kind, other, user=user).pk
    with pytest.raises(PolicyFailed):
        cancel_job(jobs[0], user=user)
    assert cancel_job(jobs[1], user=user).status == "Canceled"
    let_go()
    assert submit_job(open_kind, hanging, user=user).pk


def test_while_an_answer_is_overdue_nobody_asks_about_that_tenant(
    hang: Callable[..., None], hanging: Organization, open_kind: JobType
) -> None:
    user = member_of(hanging)
    hang(POLICY_SECONDS=0.5)
    for _ in range(3):
        with pytest.raises(PolicyFailed):
            submit_job(open_kind, hanging, user=user)
    assert Hanging.asked == ["can_submit"]


def test_while_an_answer_hangs_that_an_interrupted_handler_asked_for_nobody_asks_about_that_tenant(
    hang: Callable[..., None], hanging: Organization, open_kind: JobType
) -> None:
    class Interrupted(BaseException):
        """Ends the call of the handler that asks."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    def interrupt_it() -> None:
        wait_until(lambda: Hanging.asked, 20, "the question")
        signal.raise_signal(signal.SIGUSR1)  # the main thread hears it

    user, before = member_of(hanging), signal.signal(signal.SIGUSR1, interrupt)
    hang(POLICY_SECONDS=10)
    threading.Thread(target=interrupt_it).start()
    try:
        with pytest.raises(Interrupted):
            submit_job(open_kind, hanging, user=user)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(PolicyFailed):
        submit_job(open_kind, hanging, user=user)
    assert Hanging.asked == ["can_submit"]


def test_a_transaction_in_which_an_answer_is_overdue_is_undone_and_holds_nothing(
    hang: Callable[..., None], hanging: Organization, other: Organization, open_kind: JobType
) -> None:
    user = member_of(hanging)
    hang(POLICY_SECONDS=0.2)

    @transaction.atomic
    def write_and_ask() -> None:
        Organization.objects.filter(pk=other.pk).update(title="mine")
        submit_job(open_kind, hanging, user=user)

    with pytest.raises(PolicyFailed):
        write_and_ask()
    run_crowd([lambda: Organization.objects.filter(pk=other.pk, title="").update(title="theirs")])
    assert Organization.objects.get(pk=other.pk).title == "theirs"


def test_who_swallows_that_failure_in_a_transaction_cannot_go_on_with_it(
    hang: Callable[..., None], hanging: Organization, other: Organization, open_kind: JobType
) -> None:
    user = member_of(hanging)
    hang(POLICY_SECONDS=0.2)

    @transaction.atomic
    def ask_and_write() -> None:
        with contextlib.suppress(PolicyFailed):
            submit_job(open_kind, hanging, user=user)
        Organization.objects.filter(pk=other.pk).update(title="mine")

    with pytest.raises(DatabaseError):
        ask_and_write()
    assert Organization.objects.get(pk=other.pk).title == ""


class ByRows(AccessPolicy):
    """Asks the database itself."""

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return Membership.objects.filter(user=user, organization=organization).exists()


def test_a_policy_sees_what_the_transaction_of_the_question_wrote(
    other: Organization, open_kind: JobType, settings: Any
) -> None:
    user = make_user("new")
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.ByRows"}
    with transaction.atomic():
        Membership.objects.create(user=user, organization=other)
        job = submit_job(open_kind, other, user=user)
    assert reread(job).owner_id == user.pk


def test_a_claim_goes_on_with_the_other_tenants_jobs(
    hang: Callable[..., None], hanging: Organization, other: Organization, kind: JobType
) -> None:
    (held,), (free,) = make_queued(kind, hanging, 1), make_queued(kind, other, 1)
    hang(POLICY_SECONDS=60)
    claimed: list[int] = []

    def take() -> None:
        claimed.extend(item.pk for item in verbs.claim([ticket_of(reread(job)) for job in (held, free)], WORKER))

    assert seconds_of(take) < 5
    assert claimed == [free.pk]
    assert reread(held).status == "Pending"
    let_go()
    assert start(reread(held)).pk == held.pk


@pytest.fixture
def kind() -> JobType:
    return make_job_type()


def test_a_pass_goes_on_with_the_other_tenants_jobs_and_nobody_waits_for_the_lock(
    hang: Callable[..., None], hanging: Organization, other: Organization, kind: JobType, full_broker: CrowdedBroker
) -> None:
    held, free = submit_job(kind, hanging), submit_job(kind, other)
    full_broker.is_full = False
    hang(POLICY_SECONDS=60)
    assert seconds_of(verbs.dispatch) < 5
    assert [reread(job).status for job in (held, free)] == ["Pending", "Queued"]
    assert verbs.in_transaction(verbs.take_dispatch_lock) is not None
    let_go()
    wait_until(lambda: verbs.dispatch() and reread(held).status == "Queued", 20, "the tenant's job")


def test_the_end_of_a_batch_waits_for_no_other_tenants(
    hang: Callable[..., None], hanging: Organization, other: Organization, kind: JobType
) -> None:
    batches = [make_batch(tenant, "Completed", then={"job_type": kind.pk}) for tenant in (hanging, other)]
    claimed = [start(job) for job in Job.objects.filter(batch__in=batches).order_by("pk")]
    hang(POLICY_SECONDS=2)

    def end_all() -> None:
        for item in claimed:
            end(returned(item))
        verbs.count_batches()

    assert seconds_of(end_all) < 10
    assert get_batch_status(batches[1]).then_job is not None
    # Its own end is told in any case, and why nothing follows it.
    wait_until(lambda: get_batch_status(batches[0]).fault, 20, "what is wrong with the batch")
    assert (get_batch_status(batches[0]).state, get_batch_status(batches[0]).then_job) == ("Completed", None)
    let_go()
    BatchChange.objects.update(changed_at=verbs.now())
    verbs.count_batches()
    assert get_batch_status(batches[0]).then_job is not None


def test_a_schedule_fires_while_the_policy_hangs_for_another_tenant(
    hang: Callable[..., None], hanging: Organization, other: Organization, kind: JobType
) -> None:
    for number, tenant in enumerate((hanging, other)):
        make_schedule(kind, tenant, name=f"{number}")
    hang(POLICY_SECONDS=2)
    rests: dict[int, float] = {}
    assert seconds_of(lambda: verbs.fire_round(NOON, rests)) < 10
    assert list(Job.objects.values_list("organization", flat=True)) == [other.pk]
    # It says so, and fires when the policy answers again.
    wait_until(lambda: Schedule.objects.get(name="0").fault, 20, "the reason")
    let_go()
    rests.clear()
    wait_until(lambda: verbs.fire_round(NOON, rests), 20, "the firing")
    assert Job.objects.filter(organization=hanging).count() == 1


def test_a_schedule_for_all_tenants_leaves_out_the_one_for_which_the_policy_hangs(
    hang: Callable[..., None], hanging: Organization, other: Organization, kind: JobType
) -> None:
    schedule = make_schedule(kind)
    hang(POLICY_SECONDS=0.2)
    verbs.fire(NOON)
    wait_until(ScheduleFiring.objects.exists, 20, "the firing")
    fired = ScheduleFiring.objects.get()
    assert (fired.outcome, fired.submitted, fired.skipped) == ("submitted", 1, 1)
    assert list(Job.objects.values_list("organization", flat=True)) == [other.pk]
    assert Schedule.objects.get(pk=schedule.pk).fault == fired.note != ""


def test_a_policy_that_hangs_when_it_is_made_is_one_that_fails(settings: Any, other: Organization) -> None:
    settings.DJANGO_JOBS = {
        **settings.DJANGO_JOBS,
        "ACCESS_POLICY": f"{__name__}.HangingWhenMade",
        "POLICY_SECONDS": 0.5,
    }
    HangingWhenMade.goes_on.clear()
    try:
        began = time.monotonic()
        for _ in range(2):
            assert not verbs.may_start(other)
            with pytest.raises(PolicyFailed):
                verbs.get_policy()
        assert time.monotonic() - began < 5
    finally:
        HangingWhenMade.goes_on.set()
    wait_until(lambda: verbs.may_start(other), 30, "the policy")
