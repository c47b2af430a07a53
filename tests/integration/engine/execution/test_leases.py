"""The right to a running job until a moment."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import cancel_job
from django_jobs.models import ExecutionLog, Job
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, reread, running_job, ticket_of
from tests.support.statements import statements_of
from tests.support.verbs import Interpose, Loss

pytestmark = pytest.mark.usefixtures("broker")


def expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_expires_at=verbs.now() - dt.timedelta(seconds=1))


def loss_of(*started: tuple[int, int], **fields: Any) -> Loss:
    return Loss(worker_name="worker-1", started=frozenset(started), reason="killed", **fields)


def test_renewing_prolongs_the_leases_of_ones_own_workers_only() -> None:
    (mine, claimed), (others, _) = running_job("worker-1"), running_job("worker-2")
    Job.objects.update(lease_expires_at=verbs.now())
    (held,) = verbs.renew_leases(["worker-1"])
    assert (held.pk, held.attempt, held.worker_name) == (mine.pk, claimed.attempt, "worker-1")
    renewed, old = reread(mine).lease_expires_at, reread(others).lease_expires_at
    assert renewed
    assert old
    assert renewed - old > dt.timedelta(seconds=20)


def test_a_claim_whose_answer_was_lost_is_given_up(broker: MemoryBroker, reasons: Reasons) -> None:
    """Else the worker, which knows nothing of it, would have its lease renewed for as long as it lives."""
    job, claimed = running_job()
    verbs.give_up_claim([claimed.ticket], "worker-1")
    row = reread(job)
    assert (row.status, row.retry_count, row.worker_name) == ("Queued", 0, "")
    assert reasons(job) == ["claim_lost"]
    assert verbs.renew_leases(["worker-1"]) == []


def test_tickets_of_a_claim_that_was_not_committed_go_back_to_the_front(broker: MemoryBroker) -> None:
    first, second = job_in("Queued"), job_in("Queued")
    broker.push([ticket_of(second)])
    verbs.give_up_claim([ticket_of(first)], "worker-1")
    assert broker.pks() == [first.pk, second.pk]


def test_giving_up_a_claim_touches_no_other_workers_attempt(broker: MemoryBroker) -> None:
    theirs, claimed = running_job("worker-2")
    ended, again = job_in("Completed"), job_in("Queued")
    tickets = [claimed.ticket, ticket_of(ended), ticket_of(again)]
    Job.objects.filter(pk=again.pk).update(attempt=1)  # it ran elsewhere, and has another ticket by now
    verbs.give_up_claim(tickets, "worker-1")
    assert (reread(theirs).status, reread(ended).status, broker.tickets) == ("Running", "Completed", [])


@pytest.fixture
def rows_in_use(interpose: Interpose) -> None:
    """Somebody holds all rows, as a renewal does for a moment: what skips them moves nothing."""
    interpose("requeue", lambda *args: [])


@pytest.mark.usefixtures("rows_in_use")
def test_what_cannot_be_requeued_now_is_not_forgotten() -> None:
    job, claimed = running_job("worker-1")
    gone, _ = job_in("Completed"), job_in("Queued")
    pairs = [(job.pk, claimed.attempt), (gone.pk, gone.attempt)]
    assert verbs.requeue_attempts(pairs, "no time", "worker-1") == [(job.pk, claimed.attempt)]
    assert verbs.give_up_claim([claimed.ticket, ticket_of(gone)], "worker-1") == [claimed.ticket]
    assert reread(job).status == "Running"


def test_nobody_renews_nothing() -> None:
    running_job("worker-1")
    assert verbs.renew_leases([]) == []


def test_many_are_renewed_in_as_many_statements_as_one() -> None:
    running_job("worker-1")
    few = statements_of(lambda: verbs.renew_leases(["worker-1"]))
    for number in range(6):
        running_job(f"worker-{number}")
    names = [f"worker-{number}" for number in range(6)]
    assert statements_of(lambda: verbs.renew_leases(names)) <= few
    assert len(verbs.renew_leases(names)) == 7


def test_jobs_that_do_not_run_are_not_held() -> None:
    job_in("Queued")
    job_in("Failed")
    assert verbs.renew_leases(["worker-1"]) == []


def test_renewing_tells_how_long_ago_a_cancel_was_requested() -> None:
    (_, _), (canceled, _) = running_job(), running_job()
    cancel_job(canceled)
    Job.objects.filter(pk=canceled.pk).update(cancel_requested_at=verbs.now() - dt.timedelta(seconds=5))
    seconds = {held.pk: held.cancel_seconds for held in verbs.renew_leases(["worker-1"])}
    wanted = seconds.pop(canceled.pk)
    assert wanted is not None
    assert 5 <= wanted < 60
    assert list(seconds.values()) == [None]


def test_a_job_whose_lease_ran_out_is_taken_from_its_worker(reasons: Reasons) -> None:
    (silent, claimed), (living, _) = running_job("worker-1"), running_job("worker-2")
    verbs.note_begun([(silent.pk, claimed.attempt)], ["worker-2"])
    assert reread(silent).begun_attempt == 0  # another's is not noted
    verbs.note_begun([(silent.pk, claimed.attempt)], ["worker-1"])
    expire(silent)
    assert verbs.rescue_expired() == 1
    assert (reread(silent).status, reread(living).status) == ("Failed", "Running")
    log = ExecutionLog.objects.filter(job=silent).latest("id")
    assert (log.actor, log.worker_name, reasons(silent)) == ("scheduler", "worker-1", ["worker_lost"])


def test_a_running_job_without_a_lease_is_rescued() -> None:
    job, _ = running_job()
    Job.objects.update(lease_expires_at=None)
    assert verbs.rescue_expired() == 1
    assert reread(job).status == "Queued"


def test_an_expired_job_whose_cancel_was_requested_is_canceled() -> None:
    job, _ = running_job()
    cancel_job(job)
    expire(job)
    verbs.rescue_expired()
    assert reread(job).status == "Canceled"


def test_nothing_expired_is_nothing_rescued() -> None:
    running_job()
    assert verbs.rescue_expired() == 0


@pytest.mark.parametrize(("how", "status"), [("lost", "Failed"), ("timed_out", "Timed Out"), ("interrupted", "Queued")])
def test_what_a_gone_worker_had_started_ends_as_told_and_the_rest_goes_back(
    how: str, status: str, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    (started, claimed), (waiting, _), (others, _) = running_job(), running_job(), running_job("worker-2")
    with django_capture_on_commit_callbacks(execute=True):
        assert verbs.end_lost_worker(loss_of((started.pk, claimed.attempt), how=how))
    assert [reread(job).status for job in (started, waiting, others)] == [status, "Queued", "Running"]
    assert (reread(waiting).retry_count, waiting.pk in broker.pks()) == (0, True)


def test_a_start_that_is_not_this_attempts_counts_as_waiting() -> None:
    job, claimed = running_job()
    verbs.end_lost_worker(loss_of((job.pk, claimed.attempt - 1)))
    assert reread(job).status == "Queued"


def test_a_worker_without_jobs_leaves_nothing_behind() -> None:
    assert verbs.end_lost_worker(Loss(worker_name="worker-9", started=frozenset(), reason="killed"))


@pytest.mark.parametrize(("how", "status"), [("timed_out", "Timed Out"), ("interrupted", "Queued"), ("lost", "Failed")])
def test_who_shared_a_process_that_was_killed_for_another_job_pays_nothing(
    how: str, status: str, reasons: Reasons
) -> None:
    (guilty, one), (innocent, two) = running_job(), running_job()
    pairs = [(guilty.pk, one.attempt), (innocent.pk, two.attempt)]
    assert verbs.end_lost_worker(loss_of(*pairs, how=how, culprit=pairs[0]))
    assert [reread(guilty).status, reread(innocent).status] == [status, "Queued"]
    assert reread(innocent).retry_count == 0
    assert reasons(innocent) == ["bystander"]


@pytest.mark.parametrize("how", ["lost", "timed_out", "interrupted"])
def test_an_attempt_that_had_ended_unstored_is_not_said_to_have_waited(how: str, reasons: Reasons) -> None:
    (running, one), (ended, two) = running_job(), running_job()
    pair = (running.pk, one.attempt)
    assert verbs.end_lost_worker(loss_of(pair, how=how, ended=frozenset({pair, (ended.pk, two.attempt)})))
    assert reread(running).status == {"lost": "Failed", "timed_out": "Timed Out"}.get(how, "Queued")
    assert (reread(ended).status, reread(ended).retry_count) == ("Queued", 0)
    assert reasons(ended) == ["unstored"]


def test_an_attempt_that_had_ended_unstored_counts_where_nothing_else_can_be_to_blame(reasons: Reasons) -> None:
    job, claimed = running_job()
    assert verbs.end_lost_worker(loss_of(ended=frozenset({(job.pk, claimed.attempt)})))
    assert (reread(job).status, reread(job).retry_count) == ("Failed", 1)
    assert reasons(job) == ["worker_lost"]
    assert "killed" in reread(job).error_message


def test_an_attempt_that_had_ended_unstored_pays_nothing_where_its_worker_gave_up_in_order() -> None:
    """As a burst does that found no database to store it in."""
    job, claimed = running_job()
    assert verbs.end_lost_worker(loss_of(ended=frozenset({(job.pk, claimed.attempt)}), gave_up=True))
    assert (reread(job).status, reread(job).retry_count) == ("Queued", 0)


def test_an_attempt_that_had_ended_unstored_pays_nothing_where_another_thread_was_claiming() -> None:
    """The import of a handler may have ended the process, as well as the storing may."""
    (ended, claimed), next_one = running_job(), job_in("Queued")
    loss = loss_of(ended=frozenset({(ended.pk, claimed.attempt)}), in_hand=frozenset({(next_one.pk, 1)}))
    assert verbs.end_lost_worker(loss)
    assert [(job.status, job.retry_count) for job in map(reread, (ended, next_one))] == [("Queued", 0)] * 2


@pytest.mark.usefixtures("rows_in_use")
def test_what_a_gone_worker_leaves_in_use_is_to_be_seen_to_again() -> None:
    running_job()
    assert not verbs.end_lost_worker(loss_of())


def test_a_lease_that_is_renewed_between_the_look_and_the_lock_is_not_taken(interpose: Interpose) -> None:
    job, _ = running_job()
    expire(job)
    original = verbs.in_transaction

    def renew_first(store: Any) -> Any:
        interpose("in_transaction", original)
        verbs.renew_leases(["worker-1"])
        return original(store)

    interpose("in_transaction", renew_first)
    assert verbs.rescue_expired() == 0
    assert reread(job).status == "Running"
