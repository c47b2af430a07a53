"""Every verb of the engine over every status: where the job is afterwards, and that its history says no more."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from collections.abc import Callable
from typing import Final

import pytest

from django_jobs import cancel_job, get_job_history, retry_job
from django_jobs.exceptions import InvalidTransition
from django_jobs.models import Job, Organization
from django_jobs.statuses import Status
from tests.support import handlers, verbs
from tests.support.brokers import WORKER, job_in, raised, reread, returned, ticket_of
from tests.support.cases import rolled_back
from tests.support.deletions import delete_jobs
from tests.support.factories import make_job_type
from tests.support.verbs import Claimed, OrphanWatch, outcomes

pytestmark = pytest.mark.usefixtures("broker")

STOPPED: Final = "by an orderly shutdown"


def attempt_of(job: Job) -> Claimed:
    """What a worker would hold that believes to run the job's present attempt."""
    (row,) = verbs.store().claim_rows([job.pk])
    claimed = verbs.claimed_job(row, ticket_of(job), handlers.do_nothing, WORKER)
    claimed.attempt = job.attempt
    return claimed


def pair(job: Job) -> list[tuple[int, int]]:
    return [(job.pk, job.attempt)]


def settled(make: Callable[[Claimed], outcomes.Outcome]) -> Callable[[Job], object]:
    return lambda job: verbs.settle([make(attempt_of(job))], WORKER)


def delete_organization(job: Job) -> None:
    Organization.objects.all().delete()
    OrphanWatch().bury()


def suspend_and_claim(job: Job) -> None:
    Organization.objects.update(is_active=False)
    verbs.claim([ticket_of(job)], WORKER)


def let_the_lease_expire(job: Job) -> None:
    Job.objects.filter(status="Running").update(lease_expires_at=verbs.now() - dt.timedelta(seconds=1))
    verbs.rescue_expired()


def begin_and_let_the_lease_expire(job: Job) -> None:
    verbs.note_begun(pair(job), [WORKER])
    let_the_lease_expire(job)


VERBS: Final[dict[str, Callable[[Job], object]]] = {
    "dispatch": lambda _: verbs.dispatch(),
    "withdraw": lambda job: verbs.unqueue([job.pk], "not now"),
    "claim": lambda job: verbs.claim([ticket_of(job)], WORKER),
    "claim for a suspended organization": suspend_and_claim,
    "return": settled(returned),
    "fail": settled(raised),
    "fail for good": settled(lambda claimed: raised(claimed, "Permanent")),
    "run out of time": settled(lambda claimed: outcomes.TimedOut(claimed=claimed)),
    "stop when canceled": settled(lambda claimed: outcomes.Canceled(claimed=claimed)),
    "ask to run later": settled(lambda claimed: outcomes.Postponed(claimed=claimed, delay=60, text="later")),
    "be interrupted": settled(lambda claimed: outcomes.Interrupted(claimed=claimed, text=STOPPED)),
    "lose the worker": lambda job: verbs.settle_lost(pair(job), "killed", WORKER),
    "be killed at the timeout": lambda job: verbs.settle_timed_out(pair(job), WORKER),
    "requeue": lambda job: verbs.requeue(pair(job), STOPPED, WORKER),
    "let the lease expire": let_the_lease_expire,
    "begin, and let the lease expire": begin_and_let_the_lease_expire,
    "give up the claim": lambda job: verbs.give_up_claim([attempt_of(job).ticket], WORKER),
    "delete the organization": delete_organization,
    "cancel": cancel_job,
    "retry by hand": retry_job,
    "delete": lambda job: delete_jobs([job.pk]),
}
WAITING: Final = ("Pending", "Queued", "Failed", "Timed Out")
#: Where a verb leads from a status; from every other one it leads nowhere.
WAYS: Final[dict[str, dict[str, str]]] = {
    "dispatch": {"Pending": "Queued", "Failed": "Queued", "Timed Out": "Queued"},
    "withdraw": {"Queued": "Pending"},
    "claim": {"Queued": "Running"},
    "claim for a suspended organization": {"Queued": "Pending"},
    "return": {"Running": "Completed"},
    "fail": {"Running": "Failed"},
    "fail for good": {"Running": "Dead Letter"},
    "run out of time": {"Running": "Timed Out"},
    "stop when canceled": {"Running": "Canceled"},
    "ask to run later": {"Running": "Pending"},
    "be interrupted": {"Running": "Queued"},
    "lose the worker": {"Running": "Failed"},
    "be killed at the timeout": {"Running": "Timed Out"},
    "requeue": {"Running": "Queued"},
    "let the lease expire": {"Running": "Queued"},
    "begin, and let the lease expire": {"Running": "Failed"},
    "give up the claim": {},
    "delete the organization": dict.fromkeys(WAITING, "Dead Letter"),
    "cancel": dict.fromkeys(WAITING, "Canceled"),
    "retry by hand": dict.fromkeys(("Dead Letter", "Failed", "Timed Out"), "Pending"),
    "delete": dict.fromkeys(("Completed", "Canceled", "Dead Letter"), "gone"),
}


def job_due_in(status: str) -> Job:
    """A job in a status, alone in the system; one that waits for its retry is due."""
    return job_in(status, job_type=make_job_type(retry_delay=0))


def steps_of(job: Job) -> list[tuple[str, str]]:
    return [(row["from_status"], row["to_status"]) for row in get_job_history(job.name)]


def run_verb(verb: str, job: Job) -> None:
    """A verb that people speak refuses aloud, the others by doing nothing."""
    with contextlib.suppress(InvalidTransition):
        VERBS[verb](job)


GRID = list(itertools.product(VERBS, Status.values))
LEADING = [(verb, status, target) for verb, ways in WAYS.items() for status, target in ways.items() if target != "gone"]
LEADING_NOWHERE = [(verb, status) for verb, status in GRID if status not in WAYS[verb]]


def test_every_verb_is_in_the_grid() -> None:
    assert set(VERBS) == set(WAYS)
    assert len(LEADING) + len(LEADING_NOWHERE) + len(WAYS["delete"]) == len(GRID)


def test_a_verb_leads_where_it_should_and_the_history_says_so_once(subtests: pytest.Subtests) -> None:
    for verb, status, target in LEADING:
        with rolled_back(subtests, verb=verb, status=status, target=target):
            job = job_due_in(status)
            before = steps_of(job)
            run_verb(verb, job)
            assert Job.objects.get(pk=job.pk).status == target
            assert steps_of(job) == [*before, (status, target)]


def test_a_verb_changes_no_status_where_it_has_no_way(subtests: pytest.Subtests) -> None:
    for verb, status in LEADING_NOWHERE:
        with rolled_back(subtests, verb=verb, status=status):
            job = job_due_in(status)
            before = steps_of(job)
            run_verb(verb, job)
            assert Job.objects.get(pk=job.pk).status == status
            assert steps_of(job) == before


def test_only_what_has_ended_is_deleted(subtests: pytest.Subtests) -> None:
    for status in ("Completed", "Canceled", "Dead Letter"):
        with rolled_back(subtests, status=status):
            job = job_due_in(status)
            run_verb("delete", job)
            assert not Job.objects.filter(pk=job.pk).exists()


ENDS = [
    "return",
    "fail",
    "fail for good",
    "run out of time",
    "stop when canceled",
    "ask to run later",
    "be interrupted",
]
ENDS += ["lose the worker", "be killed at the timeout", "requeue", "let the lease expire"]
ENDS += ["begin, and let the lease expire"]


def test_once_a_cancel_is_requested_only_a_return_is_another_end(subtests: pytest.Subtests) -> None:
    for verb in ENDS:
        with rolled_back(subtests, verb=verb):
            job = cancel_job(job_in("Running"))
            run_verb(verb, job)
            assert Job.objects.get(pk=job.pk).status == {"return": "Completed"}.get(verb, "Canceled")


def test_an_attempt_that_lost_its_job_changes_nothing_however_it_ends(subtests: pytest.Subtests) -> None:
    for verb in ENDS:
        with rolled_back(subtests, verb=verb):
            job = job_in("Running")
            stale = Job.objects.get(pk=job.pk)
            stale.attempt -= 1
            before = steps_of(job)
            run_verb(verb, stale)
            assert steps_of(job)[len(before) :] == [("Running", "Queued")] * verb.endswith("let the lease expire")


def test_an_attempt_changes_nothing_while_another_worker_has_one_of_the_same_number(subtests: pytest.Subtests) -> None:
    """After a fail-over that lost its claim, say."""
    for verb in (item for item in ENDS if not item.endswith("let the lease expire")):
        with rolled_back(subtests, verb=verb):
            job = job_in("Running")
            Job.objects.filter(pk=job.pk).update(worker_name="another worker")
            before = steps_of(job)
            run_verb(verb, job)
            assert steps_of(job) == before
            assert reread(job).worker_name == "another worker"


def test_without_a_retry_left_the_job_goes_on_to_dead_letter_at_once(subtests: pytest.Subtests) -> None:
    for verb in ("fail", "run out of time", "lose the worker", "be killed at the timeout"):
        with rolled_back(subtests, verb=verb):
            job = job_in("Running", job_type=make_job_type(max_retries=0))
            run_verb(verb, job)
            row = Job.objects.get(pk=job.pk)
            assert (row.status, row.next_retry_at, row.completed_at is not None) == ("Dead Letter", None, True)
            assert steps_of(job)[-1] in {("Failed", "Dead Letter"), ("Timed Out", "Dead Letter")}
