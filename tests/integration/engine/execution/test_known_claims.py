"""A job that is like one that was claimed just now is claimed in the statement that reads it; and only then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final
from unittest import mock

import pytest

from django_jobs import cancel_job, get_job_history, signals, submit_job
from django_jobs.models import Breaker, Job, JobType, Membership, Organization
from django_jobs.statuses import BreakerState
from tests.integration.conftest import Listen
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, pending_job, queue_up, reread, ticket_of
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.tuning import Tuning
from tests.support.verbs import Claimed, Interpose

pytestmark = [
    pytest.mark.usefixtures("broker"),
    pytest.mark.skipif(not verbs.store().claims_known, reason="This store reads jobs before it claims them."),
]

FIELDS: Final[dict[str, Any]] = {"parameters": {"month": 3}, "metadata": {"trace": "x"}, "timeout": 77}
#: What differs from one job to the next.
APART: Final = {"row", "pk", "job_id", "ticket", "claimed_at", "given_back", "starts_before"}


@pytest.fixture
def user(organization: Organization) -> Any:
    return make_user(member_of=[organization])


@pytest.fixture(autouse=True)
def first(kind: JobType, organization: Organization, user: Any) -> Claimed:
    """What a worker claimed before, by the long way."""
    return claim_of(queued(kind, organization, user=user))


def queued(*args: Any, **fields: Any) -> Job:
    return queue_up(pending_job(*args, **{**FIELDS, **fields}))


def claim_of(job: Job) -> Claimed:
    (claimed,) = verbs.claim([ticket_of(job)], WORKER)
    return claimed


@pytest.fixture
def is_known(interpose: Interpose) -> Callable[[Job], bool]:
    """Claim a job, and tell whether the statement that reads it started it."""
    found: list[Any] = []
    start = verbs.start_known

    def note(*args: Any) -> Any:
        found.append(start(*args))
        return found[-1]

    def claim(job: Job) -> bool:
        found.clear()
        claim_of(job)
        return any(found)

    interpose("start_known", note)
    return claim


@pytest.mark.django_db(transaction=True)
def test_one_statement_does_for_all(
    kind: JobType, organization: Organization, user: Any, is_known: Callable[[Job], bool], listen: Listen
) -> None:
    job, told = queued(kind, organization, user=user), list[str]()
    listen(signals.job_started, lambda status, **_: told.append(status.job_id))
    assert is_known(job)
    assert told == [job.name]
    assert reread(job).status == "Running"


def test_it_does_for_a_type_whose_breaker_is_closed(
    organization: Organization, user: Any, is_known: Callable[[Job], bool]
) -> None:
    fragile = make_job_type(breaker_failures=3)
    claim_of(queued(fragile, organization, user=user))
    Breaker.objects.create(job_type=fragile, failures=2)
    verbs.claim_likeness.forget()
    job = queued(fragile, organization, user=user)
    assert is_known(job)
    assert reread(job).status == "Running"


def test_a_job_that_was_queued_before_the_breaker_of_its_type_opened_does_not_start(
    kind: JobType, organization: Organization, user: Any, is_known: Callable[[Job], bool]
) -> None:
    job = queued(kind, organization, user=user)
    JobType.objects.update(breaker_failures=3)
    Breaker.objects.create(job_type=kind, state=BreakerState.OPEN, opened_at=verbs.now())
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert reread(job).status == "Pending"
    verbs.claim_likeness.forget()
    Breaker.objects.update(tries_since=verbs.now())
    assert is_known(queued(kind, organization, user=user))  # let go since, to try


def test_what_is_known_of_a_suspended_tenant_starts_none_of_its_jobs(kind: JobType) -> None:
    suspended = make_organization()
    jobs = [queued(kind, suspended) for _ in range(2)]
    type(suspended).objects.filter(pk=suspended.pk).update(is_active=False)
    for job in jobs:
        verbs.claim_likeness.forget()
        assert verbs.claim([ticket_of(job)], WORKER) == []
    assert [reread(job).status for job in jobs] == ["Pending", "Pending"]


def test_a_ticket_in_another_pools_queue_starts_nothing_that_is_known(
    kind: JobType, organization: Organization, user: Any, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    job = queued(kind, organization, user=user)
    assert verbs.claim([replace(ticket_of(job), pool="gpu")], WORKER) == []
    assert reread(job).status == "Queued"


def test_what_is_claimed_and_stored_is_the_same(
    kind: JobType, organization: Organization, user: Any, first: Claimed
) -> None:
    job = queued(kind, organization, user=user)
    claimed = claim_of(job)
    assert (claimed.pk, claimed.job_id, claimed.ticket) == (job.pk, job.name, ticket_of(job))
    compared = {field.name for field in fields(Claimed)} - APART
    assert {name: getattr(claimed, name) for name in compared} == {name: getattr(first, name) for name in compared}
    of_the_job = ("pk", "created_at", "queued_at")
    assert claimed.row == first.row._replace(**{name: getattr(claimed.row, name) for name in of_the_job})
    assert claimed.parameters == {"month": 3}
    histories = [[(row["to_status"], row["actor"], row["attempt"]) for row in get_job_history(pk)] for pk in names(job)]
    assert histories[0] == histories[1]


def names(job: Job) -> list[str]:
    """The ids of the first job and of this one."""
    return [Job.objects.order_by("pk")[0].name, job.name]


def _pause(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(is_paused=True)


def _disable(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(is_enabled=False)


def _change_handler(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(handler_method="tests.support.handlers.gone")


def _require_permission(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(requires_permission="example_project.nobody_has_it")


def _close_to_users(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(submit_by="admins")
    Membership.objects.all().delete()


def _rename_and_suspend(job: Job) -> None:
    Organization.objects.filter(pk=job.organization_id).update(name="RENAMED", is_active=False)


def _change_pool(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(pool="gpu")


def _expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(expires_at=verbs.now() - dt.timedelta(seconds=1))


def _cancel(job: Job) -> None:
    cancel_job(job)


def _take_owner_away(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(owner=None)  # the name stays


def _hand_over(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(owner=make_user(), owner_name="somebody")


def _void(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(attempt=3)


CHANGES: Final[list[Callable[[Job], object]]] = [
    _pause,
    _disable,
    _change_handler,
    _require_permission,
    _close_to_users,
    _rename_and_suspend,
    _change_pool,
    _expire,
    _cancel,
    _take_owner_away,
    _hand_over,
    _void,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_is_judged_as_ever(
    kind: JobType, organization: Organization, user: Any, change: Callable[[Job], object], broker: MemoryBroker
) -> None:
    job = queued(kind, organization, user=user)
    change(job)
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert reread(job).status != "Running"


def test_the_organization_of_another_job_says_nothing(kind: JobType, user: Any) -> None:
    suspended = make_organization()
    job = queued(kind, suspended)
    Organization.objects.filter(pk=suspended.pk).update(is_active=False)
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert reread(job).status == "Pending"


def test_another_type_of_the_same_organization_is_judged_by_itself(
    organization: Organization, user: Any, is_known: Callable[[Job], bool]
) -> None:
    job = queued(make_job_type(), organization, user=user)
    assert not is_known(job)
    assert reread(job).status == "Running"


def test_an_answer_that_is_too_old_is_none(
    kind: JobType, organization: Organization, user: Any, tuning: Tuning, is_known: Callable[[Job], bool]
) -> None:
    clock = Clock()
    tuning.set(policy_clock=clock)
    verbs.forget_claim_verdicts()
    claim_of(queued(kind, organization, user=user))
    clock.now += verbs.POLICY_CACHE_SECONDS
    assert not is_known(queued(kind, organization, user=user))


def test_what_was_claimed_without_a_question_is_asked_for_before_the_answer_is_too_old(
    kind: JobType, organization: Organization, user: Any, tuning: Tuning, is_known: Callable[[Job], bool]
) -> None:
    clock = Clock()
    tuning.set(policy_clock=clock)
    verbs.forget_claim_verdicts()
    claim_of(queued(kind, organization, user=user))
    for _ in range(5):
        clock.now += 0.8
        verbs.ask_policy_again()  # as the refiller does after each claim
        assert is_known(queued(kind, organization, user=user))


def test_a_refusal_lets_no_job_start(kind: JobType, organization: Organization) -> None:
    jobs = [queued(kind, organization) for _ in range(2)]
    Organization.objects.filter(pk=organization.pk).update(is_active=False)
    for job in jobs:
        assert verbs.claim([ticket_of(job)], WORKER) == []
        assert reread(job).status == "Pending"


def test_a_job_that_was_queued_again_since_it_was_read_is_read_anew(
    kind: JobType, organization: Organization, user: Any, interpose: Interpose
) -> None:
    job = queued(kind, organization, user=user)
    start = verbs.start_known

    def start_late(*args: Any) -> Any:
        moved, row = start(*args) or (None, None)
        assert row is not None and row.queued_at is not None  # noqa: PT018
        Job.objects.filter(pk=job.pk).update(input_parameters={"month": 4})
        return moved, row._replace(queued_at=row.queued_at - dt.timedelta(seconds=1))

    interpose("start_known", start_late)
    assert claim_of(job).parameters == {"month": 4}


def test_jobs_of_code_and_of_users_are_told_apart(kind: JobType, organization: Organization, user: Any) -> None:
    """Without an owner nobody is asked for rights; that says nothing of a job that has one."""
    claim_of(queued(kind, organization))
    Membership.objects.filter(user=user).delete()
    verbs.forget_claim_verdicts()
    claim_of(queued(kind, organization))
    job = queue_up(submit_job(kind, organization))
    Job.objects.filter(pk=job.pk).update(owner=user, owner_name=user.get_username())
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert reread(job).status == "Dead Letter"


def tries(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many of the jobs were tried to be claimed in the statement that reads them."""
    start = mock.Mock(wraps=verbs.start_known)
    Interpose(monkeypatch)("start_known", start)
    for job in jobs:
        claim_of(job)
    return start.call_count


def test_where_jobs_are_of_many_owners_few_pay_for_a_try_in_vain(
    kind: JobType, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [queued(kind, organization, user=make_user(member_of=[organization])) for _ in range(20)]
    assert tries(jobs, monkeypatch) <= 4


def test_one_that_is_unlike_the_others_matters_little(
    kind: JobType, organization: Organization, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [queued(kind, organization, user=user) for _ in range(5)]
    jobs.insert(2, queued(kind, organization))
    assert tries(jobs, monkeypatch) == len(jobs) - 1
