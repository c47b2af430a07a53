"""Jobs that a worker had in hand when it died, and whose handlers had not begun."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import get_job_history
from django_jobs.models import Job
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import WORKER, job_in, queue_up, reread, running_job, start
from tests.support.factories import make_job_type
from tests.support.verbs import Interpose, Loss

pytestmark = pytest.mark.usefixtures("broker")


def die(*in_hand: Job, **fields: Any) -> None:
    """The worker dies with these jobs' tickets in hand."""
    pairs = frozenset((job.pk, reread(job).attempt + 1) for job in in_hand)
    given = {"worker_name": WORKER, "started": frozenset(), "reason": "process 7 exited with code 3"}
    assert verbs.end_lost_worker(Loss(**{**given, "in_hand": pairs, **fields}))


def test_a_job_that_was_alone_in_a_dying_workers_hands_pays_from_the_second_time_on(reasons: Reasons) -> None:
    job = job_in("Queued", job_type=make_job_type(max_retries=1))
    seen = []
    for _ in range(3):
        die(job)
        row = reread(job)
        seen.append((row.status, row.attempt, row.retry_count))
        if row.status == "Failed":
            queue_up(job)
    assert seen == [("Queued", 1, 0), ("Failed", 2, 1), ("Dead Letter", 3, 1)]
    assert reasons(job) == ["died_alone", "worker_lost", "worker_lost", "retries_exhausted"]
    told = [row["message"] for row in get_job_history(job) if row["to_status"] == "Failed"]
    assert ["process 7 exited with code 3" in text for text in told] == [True, True]


def test_a_death_after_the_claim_and_before_the_handler_counts_likewise() -> None:
    job = job_in("Queued")
    for _ in range(2):
        start(job)
        die()
    assert (reread(job).status, reread(job).attempt, reread(job).retry_count) == ("Failed", 2, 1)


def test_of_several_in_hand_none_pays_however_often_that_happens(reasons: Reasons) -> None:
    jobs = [job_in("Queued"), job_in("Queued")]
    for _ in range(3):
        die(*jobs)
    assert {(reread(job).status, reread(job).attempt, reread(job).retry_count) for job in jobs} == {("Queued", 3, 0)}
    assert reasons(jobs[0]) == ["unbegun"] * 3


@pytest.mark.parametrize("beside", ["nothing", "a handler ran", "another's end was not stored"])
def test_of_several_in_hand_the_one_that_was_examined_pays_from_the_second_time_on(
    beside: str, reasons: Reasons
) -> None:
    """It is what may have ended the process, whatever else went on there."""
    culprit, bystander = job_in("Queued", job_type=make_job_type(max_retries=5)), job_in("Queued")
    for _ in range(2):
        other, claimed = running_job()
        pairs = frozenset({(other.pk, claimed.attempt)} if beside != "nothing" else ())
        fields = {"ended": pairs} if beside == "another's end was not stored" else {"started": pairs}
        die(culprit, bystander, examined=(culprit.pk, reread(culprit).attempt + 1), **fields)
    assert [(job.status, job.retry_count) for job in map(reread, (culprit, bystander))] == [
        ("Failed", 1),
        ("Queued", 0),
    ]
    assert (reasons(culprit), reasons(bystander)) == (["died_alone", "worker_lost"], ["unbegun"] * 2)


def test_what_was_examined_in_a_process_that_its_supervisor_killed_pays_nothing() -> None:
    job = job_in("Queued")
    for _ in range(2):
        die(job, examined=(job.pk, reread(job).attempt + 1), how="interrupted")
    assert (reread(job).status, reread(job).retry_count) == ("Queued", 0)


@pytest.mark.parametrize("why", ["a handler ran", "another's end was not stored", "it was killed", "it gave up"])
def test_a_job_does_not_pay_where_something_else_explains_the_death(why: str) -> None:
    job = job_in("Queued")
    die(job)
    other, claimed = running_job()
    pairs = frozenset({(other.pk, claimed.attempt)})
    explanations: dict[str, dict[str, Any]] = {
        "a handler ran": {"started": pairs},
        "another's end was not stored": {"ended": pairs},
        "it was killed": {"how": "interrupted"},
        "it gave up": {"gave_up": True},
    }
    if why.startswith("it"):
        verbs.requeue_attempts([(other.pk, claimed.attempt)], "", WORKER)
    die(job, **explanations[why])
    assert (reread(job).status, reread(job).retry_count) == ("Queued", 0)


def test_a_ticket_that_was_void_by_then_touches_nothing() -> None:
    ended, elsewhere = job_in("Completed"), running_job("worker-2")[0]
    pairs = frozenset({(ended.pk, 1), (ended.pk, 2), (elsewhere.pk, 1), (elsewhere.pk, 2)})
    die(in_hand=pairs)
    assert (reread(ended).status, reread(elsewhere).status, reread(elsewhere).attempt) == ("Completed", "Running", 1)


def test_what_is_left_of_a_set_because_its_row_was_in_use_was_not_alone(interpose: Interpose, reasons: Reasons) -> None:
    free, used = job_in("Queued"), job_in("Queued")
    pairs = frozenset({(free.pk, 1), (used.pk, 1)})
    original = verbs.requeue
    interpose("requeue", lambda items, *args: original([pair for pair in items if pair[0] == free.pk], *args))
    loss = Loss(worker_name=WORKER, started=frozenset(), reason="killed", in_hand=pairs)
    assert not verbs.end_lost_worker(loss)
    interpose("requeue", original)
    assert verbs.end_lost_worker(loss)
    assert reasons(used) == ["unbegun"]
