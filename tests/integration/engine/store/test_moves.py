"""Moving a set of jobs, whichever way a store does it: guards, values, what is told and what is written beside."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import IntegrityError

from django_jobs.models import DependencyTask, ExecutionLog, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import pending_job, reread, running_job
from tests.support.verbs import INCREMENT, NOW, After, Condition, Move, Moved, Store, Terms

pytestmark = pytest.mark.usefixtures("broker")

ACTOR = verbs.user_named("Zoë")
TEXT = "ünïcödé 🙂 %s %(name)s {} ' \" \\ \n"
SECOND = dt.timedelta(seconds=1)


def moved_by(store: Store, *moves: Move, sources: Sequence[str] = ("Pending",), **terms: Any) -> list[Moved]:
    found = store.move(moves, Terms(sources=list(sources), actor=ACTOR, **terms))
    return sorted(found, key=lambda item: item.pk)


def queued(job: Job, **fields: Any) -> Move:
    values = {"ready_at": None, **fields.pop("values", {})}
    return Move(pk=job.pk, to_status="Queued", values=values, **fields)


def test_what_moved_is_told_as_the_row_and_its_log_have_it(each_store: Store) -> None:
    job = pending_job(priority="High")
    error = ValueError(TEXT)
    move = queued(job, message=TEXT, traceback=TEXT, error=error, values={"queued_at": NOW, "attempt": INCREMENT})
    (told,) = moved_by(each_store, move, worker_name="worker-7")
    row, log = reread(job), ExecutionLog.objects.filter(job=job).latest("id")
    assert told == Moved(
        pk=job.pk,
        from_status="Pending",
        to_status="Queued",
        attempt=1,
        job_type=job.job_type_id,
        organization_name=job.organization_name,
        priority=2,
        year=job.created_at.year,
        message=TEXT,
        actor=ACTOR,
        worker_name="worker-7",
        has_children=False,
        log_id=log.pk,
        organization_id=job.organization_id,
        queued_at=row.queued_at,
        error=error,
    )
    assert (row.status, row.attempt, row.ready_at) == ("Queued", 1, None)
    assert (log.from_status, log.to_status, log.attempt) == ("Pending", "Queued", 1)
    assert (log.actor, log.actor_kind, log.worker_name) == ("Zoë", "user", "worker-7")
    assert (log.message, log.traceback, log.organization_id) == (TEXT, TEXT, job.organization_id)
    assert abs(log.timestamp - each_store.now()) < 60 * SECOND


@pytest.mark.parametrize("times", [1, 4], ids=["few", "many"])
def test_values_travel_alike_for_all_and_row_by_row(
    each_store: Store, kind: JobType, organization: Organization, times: int
) -> None:
    jobs = [pending_job(kind, organization) for _ in range(3 * times)]
    values: list[dict[str, Any]] = [
        {"result": None, "next_retry_at": None, "retry_count": 7, "error_message": "", "worker_name": "w"},
        {"result": {"text": TEXT}, "next_retry_at": NOW, "retry_count": 0, "error_message": TEXT, "worker_name": "w"},
        {"result": [1, None], "next_retry_at": After(3600), "retry_count": 2, "error_message": "x", "worker_name": "w"},
    ]
    values *= times
    told = moved_by(each_store, *(queued(job, values=item) for job, item in zip(jobs, values, strict=True)))
    assert [item.pk for item in told] == [job.pk for job in jobs]
    rows = [reread(job) for job in jobs]
    names = ("result", "retry_count", "error_message", "worker_name")
    assert [{name: getattr(row, name) for name in names} for row in rows] == [
        {name: item[name] for name in names} for item in values
    ]
    now = each_store.now()
    due = [row.next_retry_at for row in rows]
    assert due[0] is None
    assert due[1] is not None
    assert due[2] is not None
    assert abs(due[1] - now) < 60 * SECOND
    assert abs(due[2] - now - 3600 * SECOND) < 60 * SECOND


def test_sets_of_different_fields_move_together_or_not_at_all(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    jobs = [pending_job(kind, organization) for _ in range(3)]
    moves = [queued(jobs[0]), queued(jobs[1], values={"progress": 7}), queued(jobs[2], values={"progress": 101})]
    with pytest.raises(IntegrityError):
        each_store.in_transaction(lambda: each_store.move(moves, Terms(sources=["Pending"], actor=ACTOR)))
    assert {reread(job).status for job in jobs} == {"Pending"}
    assert [item.pk for item in moved_by(each_store, *moves[:2])] == [job.pk for job in jobs[:2]]
    assert [reread(job).progress for job in jobs] == [0, 7, 0]


def test_a_set_fails_together_though_its_jobs_are_to_be_tried_again_at_different_times(each_store: Store) -> None:
    jobs = [running_job()[0] for _ in range(3)]
    moments: list[Any] = [NOW, After(60), None]  # the last one has no retry left
    pairs = zip(jobs, moments, strict=True)
    moves = [Move(pk=job.pk, to_status="Failed", values={"ready_at": moment}) for job, moment in pairs]
    assert len(moved_by(each_store, *moves, sources=["Running"])) == 3
    written: list[Any] = [reread(job).ready_at for job in jobs]
    first, second, last = written
    assert (second - first, last) == (60 * SECOND, None)


def test_of_jobs_of_which_only_the_movers_own_may_move_those_of_other_workers_stay(each_store: Store) -> None:
    own, anothers = running_job("worker-7")[0], running_job("worker-8")[0]
    moves = [Move(pk=job.pk, to_status="Completed", values={"ready_at": None}) for job in (own, anothers)]
    terms: dict[str, Any] = {"sources": ["Running"], "worker_name": "worker-7"}
    assert [item.pk for item in moved_by(each_store, *moves, **terms, only_own=True)] == [own.pk]
    assert [item.pk for item in moved_by(each_store, *moves, **terms)] == [anothers.pk]


def test_who_is_elsewhere_or_of_another_attempt_stays(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    first, second, third = (pending_job(kind, organization) for _ in range(3))
    moved_by(each_store, queued(first))
    moves = [queued(first, attempt=0), queued(second, attempt=1), queued(third, attempt=0)]
    assert [item.pk for item in moved_by(each_store, *moves)] == [third.pk]
    assert reread(second).status == "Pending"
    assert ExecutionLog.objects.filter(job=second).count() == 1


def test_only_what_is_due_moves_where_that_is_asked(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    now = each_store.now()
    early, late, never = (pending_job(kind, organization) for _ in range(3))
    for job, moment in ((early, now - SECOND), (late, now + 60 * SECOND), (never, None)):
        Job.objects.filter(pk=job.pk).update(ready_at=moment)
    moves = [queued(early), queued(late), queued(never)]
    assert [item.pk for item in moved_by(each_store, *moves, only_due=True)] == [early.pk]
    assert [item.pk for item in moved_by(each_store, *moves)] == [late.pk, never.pk]


@pytest.mark.parametrize("is_met", [True, False], ids=["met", "not met"])
def test_a_condition_about_other_rows_is_asked(each_store: Store, is_met: bool) -> None:
    job = pending_job()
    other = Condition(f"EXISTS (SELECT 1 FROM {Job._meta.db_table} WHERE id = %s)", (job.pk + (not is_met),))
    assert bool(moved_by(each_store, queued(job), only_if=other)) is is_met
    assert reread(job).status == ("Queued" if is_met else "Pending")


def test_the_end_of_a_job_with_children_leaves_a_task(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    parent, other = pending_job(kind, organization), pending_job(kind, organization)
    Job.objects.filter(pk=parent.pk).update(has_children=True)
    ends = [Move(pk=job.pk, to_status="Canceled", values={"ready_at": None}) for job in (parent, other)]
    assert [item.has_children for item in moved_by(each_store, *ends)] == [True, False]
    assert list(DependencyTask.objects.values_list("job_id", flat=True)) == [parent.pk]
