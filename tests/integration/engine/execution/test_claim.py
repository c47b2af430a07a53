"""Claiming: who gets a job, who is turned away, and why."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest.mock import Mock

import pytest

from django_jobs import get_job_history, retry_job
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import ExecutionLog, Job, JobType, Membership, Organization
from tests.integration.conftest import Reasons
from tests.support import handlers, verbs
from tests.support.brokers import WORKER, MemoryBroker, job_in, pending_job, queue_up, reread, running_job, ticket_of
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.statements import statements_of
from tests.support.verbs import Claimed, Interpose, Ticket

pytestmark = pytest.mark.usefixtures("broker")


def refused(job: Job) -> Job:
    """The job's row after a worker tried to claim it in vain."""
    verbs.forget_claim_verdicts()
    assert verbs.claim([ticket_of(job)], WORKER) == []
    return reread(job)


def test_a_claimed_job_runs_under_a_lease_of_its_worker() -> None:
    job = job_in("Queued")
    before = verbs.now()
    verbs.claim([ticket_of(job)], WORKER)
    row = reread(job)
    assert (row.status, row.attempt, row.worker_name) == ("Running", 1, WORKER)
    assert row.started_at
    assert row.lease_expires_at
    assert dt.timedelta(seconds=29) < row.lease_expires_at - before < dt.timedelta(seconds=90)


def test_the_ticket_of_a_job_that_others_took_and_gave_back_meanwhile_is_void(
    broker: MemoryBroker, interpose: Interpose
) -> None:
    job, in_use = job_in("Queued"), job_in("Queued")

    def start(*_: Any) -> list[Any]:
        Job.objects.filter(pk=job.pk).update(attempt=1)
        return []

    interpose("move_to_running", start)
    verbs.forget_claim_verdicts()
    left: list[Ticket] = []
    assert verbs.claim([ticket_of(job), ticket_of(in_use)], WORKER, set_aside=left.extend) == []
    assert left == [ticket_of(in_use)]


def test_a_claim_holds_all_that_the_run_needs() -> None:
    job = job_in("Queued", parameters={"month": 3}, metadata={"trace": "x"})
    (claimed,) = verbs.claim([ticket_of(job)], WORKER)
    assert (claimed.job_id, claimed.attempt, claimed.timeout_seconds) == (job.name, 1, 300)
    assert (claimed.parameters, claimed.metadata) == ({"month": 3}, {"trace": "x"})
    assert (claimed.organization, claimed.organization_pk) == (job.organization_name, job.organization_id)
    assert claimed.handler is handlers.do_nothing


def test_many_are_claimed_in_as_many_statements_as_a_few(kind: JobType, organization: Organization) -> None:
    def cost_of(count: int) -> int:
        tickets = [ticket_of(job_in("Queued", job_type=kind, organization=organization)) for _ in range(count)]
        return statements_of(lambda: claimed.extend(verbs.claim(tickets, WORKER)))

    claimed: list[Claimed] = []
    cost_of(1)  # what is remembered is asked
    few = cost_of(2)
    assert cost_of(9) <= few <= 8
    assert len(claimed) == 12


def test_progress_of_the_attempt_before_is_gone() -> None:
    job = job_in("Failed")
    Job.objects.filter(pk=job.pk).update(progress=70, progress_message="nearly")
    verbs.claim([ticket_of(queue_up(job))], WORKER)
    assert (reread(job).progress, reread(job).progress_message, reread(job).attempt) == (0, "", 2)


def test_claims_come_in_the_order_of_the_tickets() -> None:
    jobs = [job_in("Queued") for _ in range(3)]
    claimed = verbs.claim([ticket_of(job) for job in reversed(jobs)], WORKER)
    assert [item.pk for item in claimed] == [job.pk for job in reversed(jobs)]


def test_a_ticket_is_good_for_one_claim() -> None:
    ticket = ticket_of(job_in("Queued"))
    assert len(verbs.claim([ticket], WORKER)) == 1
    assert verbs.claim([ticket], "worker-2") == []


def test_a_ticket_from_before_a_retry_is_void() -> None:
    job = queue_up(job_in("Failed"))
    assert verbs.claim([Ticket(job.pk, job.created_at.year, 1, 1)], WORKER) == []
    assert reread(job).status == "Queued"


@pytest.mark.parametrize("void_attempts", [(1, 3), (3, 1)])
def test_a_void_ticket_hides_no_valid_one_of_the_same_job(void_attempts: tuple[int, int], broker: MemoryBroker) -> None:
    job, other = queue_up(job_in("Failed")), job_in("Queued")
    before, after = (Ticket(job.pk, job.created_at.year, attempt, 3) for attempt in void_attempts)
    claimed = verbs.claim([before, ticket_of(job), ticket_of(job), after, ticket_of(other)], WORKER)
    assert [(item.pk, item.attempt) for item in claimed] == [(job.pk, 2), (other.pk, 1)]
    assert [item.ticket for item in claimed] == [ticket_of(job), ticket_of(other)]
    assert broker.tickets == []


def test_a_void_ticket_does_not_go_back_in_the_place_of_the_valid_one(broker: MemoryBroker) -> None:
    first, job = job_in("Queued"), queue_up(job_in("Failed"))
    void = Ticket(job.pk, job.created_at.year, 1, 3)
    verbs.claim([ticket_of(first), void, ticket_of(job), void], WORKER, lambda _: 1)
    assert broker.tickets == [ticket_of(job)]


def test_a_ticket_of_a_job_that_is_not_queued_is_void(subtests: pytest.Subtests, broker: MemoryBroker) -> None:
    for status in ("Pending", "Canceled", "Failed", "Completed", "Dead Letter"):
        with rolled_back(subtests, status=status):
            job = job_in(status)
            broker.lose_tickets()
            assert verbs.claim([ticket_of(job)], WORKER) == []
            assert (reread(job).status, broker.tickets) == (status, [])


def test_a_ticket_of_a_deleted_job_is_void(broker: MemoryBroker) -> None:
    assert verbs.claim([Ticket(987654321, 2026, 1, 1)], WORKER) == []
    assert broker.tickets == []


def test_what_would_not_start_at_once_goes_back_to_the_front(broker: MemoryBroker) -> None:
    tickets = [ticket_of(job_in("Queued")) for _ in range(3)]
    behind = ticket_of(job_in("Queued"))
    broker.push([behind])
    claimed = verbs.claim(tickets, WORKER, lambda _: 1)
    assert [item.ticket for item in claimed] == tickets[:1]
    assert broker.tickets == [*tickets[1:], behind]


def test_fits_is_asked_with_the_types_in_the_tickets_order() -> None:
    jobs = [job_in("Queued") for _ in range(3)]
    fits = Mock(return_value=3)
    verbs.claim([ticket_of(job) for job in reversed(jobs)], WORKER, fits)
    fits.assert_called_once_with([job.job_type_id for job in reversed(jobs)])


def test_at_least_one_job_is_taken() -> None:
    assert len(verbs.claim([ticket_of(job_in("Queued"))], WORKER, lambda _: 0)) == 1


def test_a_job_whose_organization_is_gone_is_a_dead_letter(reasons: Reasons) -> None:
    organization = make_organization()
    job = job_in("Queued", organization=organization)
    organization.delete()
    row = refused(job)
    assert (row.status, row.error_type, reasons(job)) == ("Dead Letter", "Permanent", ["organization_gone"])
    assert row.completed_at is not None
    assert get_job_history(job)[-1]["message"] == row.error_message != ""


def test_a_job_of_an_inactive_organization_goes_back_to_wait() -> None:
    organization = make_organization()
    job = job_in("Queued", organization=organization)
    organization.is_active = False
    organization.save()
    row = refused(job)
    assert (row.status, row.attempt, row.queued_at) == ("Pending", 0, None)
    assert row.ready_at is not None


@pytest.mark.parametrize(
    ("fields", "code"), [({"is_paused": True}, "type_paused"), ({"is_enabled": False}, "type_disabled")]
)
def test_a_job_of_a_closed_type_goes_back_to_wait(fields: dict[str, bool], code: str, reasons: Reasons) -> None:
    job = job_in("Queued")
    JobType.objects.update(**fields)
    assert refused(job).status == "Pending"
    assert reasons(job) == [code]
    assert get_job_history(job)[-1]["message"]


def test_a_job_whose_type_is_gone_is_a_dead_letter(reasons: Reasons) -> None:
    job = job_in("Queued")
    JobType.objects.filter(pk=job.job_type_id)._raw_delete("default")
    row = refused(job)
    assert (row.status, row.error_message != "", reasons(job)) == ("Dead Letter", True, ["unknown_job_type"])


@pytest.mark.parametrize(
    "path", ["os.system", "django_jobs.engine.submission.submit.submit_job", "print", "tests.support.handlers.Any"]
)
def test_a_handler_outside_the_allowed_modules_is_never_run(path: str) -> None:
    job = job_in("Queued")
    JobType.objects.update(handler_method=path)
    row = refused(job)
    assert (row.status, row.attempt, row.error_type) == ("Dead Letter", 0, "Permanent")


@pytest.mark.parametrize("path", ["tests.support.handlers.of_the_next_release", "tests.support.handlers.sub.mod.run"])
def test_a_handler_that_this_worker_cannot_load_waits_for_one_that_can(path: str) -> None:
    job = job_in("Queued")
    JobType.objects.update(handler_method=path)
    row = refused(job)
    assert row.status == "Pending"
    assert row.ready_at
    assert row.ready_at > verbs.now()
    assert path in verbs.last_traceback(job)


@pytest.mark.parametrize(("minutes", "status"), [(9, "Pending"), (11, "Dead Letter")])
def test_a_handler_that_nobody_could_load_for_ten_minutes_is_given_up(minutes: int, status: str) -> None:
    job = job_in("Queued")
    JobType.objects.update(handler_method="tests.support.handlers.of_the_next_release")
    refused(job)
    logs = ExecutionLog.objects.filter(job=job, from_status="Queued", to_status="Pending")
    logs.update(timestamp=verbs.now() - dt.timedelta(minutes=minutes))
    assert refused(queue_up(job)).status == status
    if status == "Dead Letter":
        assert refused(queue_up(retry_job(job))).status == "Pending"  # which begins anew


def test_a_handler_that_became_loadable_runs() -> None:
    job = job_in("Queued")
    kind = JobType.objects.get(pk=job.job_type_id)
    JobType.objects.update(handler_method="tests.support.handlers.of_the_next_release")
    refused(job)
    JobType.objects.filter(pk=kind.pk).update(handler_method=kind.handler_method)
    assert len(verbs.claim([ticket_of(queue_up(job))], WORKER)) == 1


def test_a_job_whose_owner_was_deleted_is_a_dead_letter() -> None:
    organization = make_organization()
    user = make_user(member_of=[organization])
    job = job_in("Queued", organization=organization, user=user)
    user.delete()
    row = refused(job)
    assert (row.status, row.owner_name, row.owner) == ("Dead Letter", user.username, None)


def test_a_job_whose_owner_left_the_organization_is_a_dead_letter() -> None:
    organization = make_organization()
    user = make_user(member_of=[organization])
    job = job_in("Queued", organization=organization, user=user)
    Membership.objects.all().delete()
    assert refused(job).status == "Dead Letter"


def test_a_job_whose_owner_was_deactivated_is_a_dead_letter() -> None:
    organization = make_organization()
    user = make_user(member_of=[organization])
    job = job_in("Queued", organization=organization, user=user)
    user.is_active = False
    user.save()
    assert refused(job).status == "Dead Letter"


def test_a_refused_job_does_not_keep_its_neighbours_from_running() -> None:
    good, bad = job_in("Queued"), job_in("Queued")
    JobType.objects.filter(pk=bad.job_type_id).update(handler_method="os.system")
    claimed = verbs.claim([ticket_of(bad), ticket_of(good)], WORKER)
    assert [item.pk for item in claimed] == [good.pk]
    assert (reread(good).status, reread(bad).status) == ("Running", "Dead Letter")


def test_no_tickets_are_no_claims() -> None:
    assert verbs.claim([], WORKER) == []


def test_a_job_in_the_hands_of_one_worker_is_not_anothers() -> None:
    job, claimed = running_job("worker-1")
    assert verbs.claim([claimed.ticket], "worker-2") == []
    assert reread(job).worker_name == "worker-1"


def test_the_handler_is_looked_up_at_the_claim() -> None:
    kind = make_job_type()
    job = queue_up(pending_job(kind))
    JobType.objects.update(handler_method="tests.support.handlers.echo")
    (claimed,) = verbs.claim([ticket_of(job)], WORKER)
    assert claimed.handler is handlers.echo


class PushFails(MemoryBroker):
    """Goes away between a worker's taking and putting back."""

    def push(self, *args: Any, **kwargs: Any) -> None:
        raise BrokerUnavailable("gone")


def test_what_was_claimed_runs_though_the_other_tickets_cannot_be_put_back() -> None:
    verbs.use_broker(PushFails())
    first, second = job_in("Queued"), job_in("Queued")
    (claimed,) = verbs.claim([ticket_of(first), ticket_of(second)], WORKER, lambda _: 1)
    assert (claimed.pk, reread(second).status) == (first.pk, "Queued")
