"""The one writer of status: guards, values, log rows."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import TRANSITIONS, Status
from tests.support import verbs
from tests.support.brokers import job_in, pending_job, reread, running_job
from tests.support.cases import rolled_back
from tests.support.verbs import INCREMENT, NOW, WORKER, After, Move

pytestmark = pytest.mark.usefixtures("broker")

WITHOUT_ARROW = [(one, other) for one, other in itertools.product(Status, Status) if other not in TRANSITIONS[one]]
ARROWS = [(one, other) for one, others in TRANSITIONS.items() for other in sorted(others)]


def to(job: Job, status: str, **fields: Any) -> Move:
    values = {"ready_at": NOW if status == Status.PENDING else None, **fields.pop("values", {})}
    return Move(pk=job.pk, to_status=status, values=values, **fields)


def test_a_job_moves_along_an_arrow_and_its_history_says_so(subtests: pytest.Subtests) -> None:
    for source, target in ARROWS:
        with rolled_back(subtests, source=source, target=target):
            job = job_in(source)
            (moved,) = verbs.move([to(job, target)], verbs.Terms(sources=[source], actor=verbs.user_named("tester")))
            log = ExecutionLog.objects.filter(job=job).last()
            assert log is not None
            assert reread(job).status == target
            assert (moved.pk, moved.from_status, moved.to_status) == (job.pk, source, target)
            assert (log.from_status, log.to_status) == (source, target)


def test_where_there_is_no_arrow_the_caller_is_wrong(subtests: pytest.Subtests) -> None:
    for source, target in WITHOUT_ARROW:
        with rolled_back(subtests, source=source, target=target):
            job = job_in(source)
            with pytest.raises(ValueError, match=f"{source} .*{target}"):
                verbs.move([to(job, target)], verbs.Terms(sources=[source], actor=verbs.user_named("tester")))
            assert reread(job).status == source


def test_an_arrow_that_only_one_of_the_sources_has_is_refused() -> None:
    with pytest.raises(ValueError, match="Completed"):
        verbs.move(
            [to(pending_job(), Status.QUEUED)],
            verbs.Terms(sources=[Status.PENDING, Status.COMPLETED], actor=verbs.user_named("tester")),
        )


def test_a_job_that_is_not_in_a_source_stays() -> None:
    job = job_in(Status.COMPLETED)
    assert (
        verbs.move([to(job, Status.QUEUED)], verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("tester")))
        == []
    )
    assert reread(job).status == Status.COMPLETED
    assert ExecutionLog.objects.filter(job=job).count() == 4


def test_the_attempt_that_owns_a_job_may_move_it() -> None:
    job, claimed = running_job()
    assert (
        len(
            verbs.move(
                [to(job, Status.COMPLETED, attempt=claimed.attempt)],
                verbs.Terms(sources=[Status.RUNNING], actor=verbs.user_named("w")),
            )
        )
        == 1
    )


def test_another_attempt_may_not() -> None:
    job, claimed = running_job()
    item = to(job, Status.COMPLETED, attempt=claimed.attempt + 1)
    assert verbs.move([item], verbs.Terms(sources=[Status.RUNNING], actor=verbs.user_named("w"))) == []
    assert reread(job).status == Status.RUNNING


def test_a_set_may_mix_moves_with_and_without_attempt() -> None:
    (first, claimed), (second, _), (third, stale) = running_job(), running_job(), running_job()
    moved = verbs.move(
        [
            to(first, Status.COMPLETED, attempt=claimed.attempt),
            to(second, Status.COMPLETED),
            to(third, Status.COMPLETED, attempt=stale.attempt + 1),
        ],
        verbs.Terms(sources=[Status.RUNNING], actor=verbs.user_named("w")),
    )
    assert {item.pk for item in moved} == {first.pk, second.pk}


def test_those_that_moved_away_are_skipped_and_the_others_move() -> None:
    stays, goes = job_in(Status.CANCELED), pending_job()
    moved = verbs.move(
        [to(stays, Status.QUEUED), to(goes, Status.QUEUED)],
        verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("tester")),
    )
    assert [item.pk for item in moved] == [goes.pk]
    assert (reread(stays).status, reread(goes).status) == (Status.CANCELED, Status.QUEUED)


def test_an_unknown_job_does_not_move() -> None:
    assert (
        verbs.move(
            [Move(pk=987654321, to_status=Status.QUEUED)],
            verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("tester")),
        )
        == []
    )


def test_no_moves_need_no_database(django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.block():
        assert verbs.move([], verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("tester"))) == []


def test_what_moved_is_told_with_all_that_observers_need() -> None:
    job, claimed = running_job(priority="High")
    item = to(job, Status.FAILED, message="broken")
    (moved,) = verbs.move([item], verbs.Terms(sources=[Status.RUNNING], actor=WORKER, worker_name="w-9"))
    assert (moved.job_id, moved.attempt, moved.priority) == (job.name, claimed.attempt, 2)
    assert (moved.job_type, moved.organization_name) == (job.job_type_id, job.organization_name)
    assert (moved.message, moved.actor, moved.worker_name) == ("broken", WORKER, "w-9")
    assert moved.year == job.created_at.year


def test_the_log_row_holds_who_what_and_why() -> None:
    job, claimed = running_job()
    item = to(job, Status.FAILED, message="broken", traceback="Traceback …")
    verbs.move([item], verbs.Terms(sources=[Status.RUNNING], actor=WORKER, worker_name="w-9"))
    log = ExecutionLog.objects.filter(job=job).last()
    assert log is not None
    assert (log.actor, log.worker_name, log.message, log.traceback) == ("worker", "w-9", "broken", "Traceback …")
    assert log.attempt == claimed.attempt
    assert abs(verbs.now() - log.timestamp) < dt.timedelta(minutes=1)


def test_messages_of_a_set_go_to_their_own_jobs() -> None:
    jobs = [pending_job() for _ in range(3)]
    verbs.move(
        [to(job, Status.QUEUED, message=job.name) for job in jobs],
        verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("tester")),
    )
    assert [log.message for log in ExecutionLog.objects.filter(to_status="Queued").order_by("job_id")] == [
        job.name for job in jobs
    ]


def test_moments_are_the_databases() -> None:
    job, now = pending_job(), verbs.now()
    values = {"queued_at": NOW, "next_retry_at": After(60), "started_at": After(-60), "ready_at": None}
    verbs.move(
        [to(job, Status.QUEUED, values=values)], verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("tester"))
    )
    row = reread(job)
    assert row.queued_at
    assert row.next_retry_at
    assert row.started_at
    assert row.next_retry_at - row.queued_at == row.queued_at - row.started_at == dt.timedelta(seconds=60)
    assert abs(row.queued_at - now) < dt.timedelta(minutes=1)


def test_moments_may_differ_within_a_set() -> None:
    jobs = [pending_job() for _ in range(3)]
    delays: list[After | None] = [After(10), After(20), None]
    moves = [
        to(job, Status.QUEUED, values={"queued_at": NOW, "next_retry_at": delay})
        for job, delay in zip(jobs, delays, strict=True)
    ]
    verbs.move(moves, verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("tester")))
    rows = [reread(job) for job in jobs]
    seconds = [
        (row.next_retry_at - row.queued_at).total_seconds() for row in rows if row.next_retry_at and row.queued_at
    ]
    assert (seconds, rows[2].next_retry_at) == ([10, 20], None)


def test_an_increment_counts_from_the_rows_own_value() -> None:
    first, second = job_in(Status.FAILED), pending_job()
    moves = [to(job, Status.QUEUED, values={"attempt": INCREMENT}) for job in (first, second)]
    moved = verbs.move(moves, verbs.Terms(sources=[Status.FAILED, Status.PENDING], actor=verbs.user_named("tester")))
    assert (reread(first).attempt, reread(second).attempt) == (2, 1)
    assert {item.pk: item.attempt for item in moved} == {first.pk: 2, second.pk: 1}


def test_json_goes_to_its_own_job(subtests: pytest.Subtests) -> None:
    cases: list[list[Any]] = [
        [{"a": 1}, {"b": [None]}],
        [{"a": 1}, None],
        [None, None],
        [{"a": 1}, {"a": 1}],
        [[], "x"],
    ]
    for results in cases:
        with rolled_back(subtests, results=results):
            jobs = [running_job()[0] for _ in results]
            moves = [
                to(job, Status.COMPLETED, values={"result": result}) for job, result in zip(jobs, results, strict=True)
            ]
            verbs.move(moves, verbs.Terms(sources=[Status.RUNNING], actor=verbs.user_named("w")))
            assert [reread(job).result for job in jobs] == results


def test_one_set_may_lead_to_several_statuses_with_fields_of_their_own() -> None:
    done, broken, stopped = (running_job()[0] for _ in range(3))
    moved = verbs.move(
        [
            Move(pk=done.pk, to_status=Status.COMPLETED, values={"progress": 100, "result": {"a": 1}}),
            Move(pk=broken.pk, to_status=Status.FAILED, values={"error_message": "broken", "next_retry_at": After(60)}),
            Move(pk=stopped.pk, to_status=Status.CANCELED),
        ],
        verbs.Terms(sources=[Status.RUNNING], actor=verbs.user_named("w")),
    )
    assert {(item.pk, item.to_status) for item in moved} == {
        (done.pk, "Completed"),
        (broken.pk, "Failed"),
        (stopped.pk, "Canceled"),
    }
    assert (reread(done).progress, reread(broken).error_message, reread(broken).result) == (100, "broken", None)


def test_log_rows_of_a_set_come_in_the_order_of_ids() -> None:
    jobs = [pending_job() for _ in range(5)]
    verbs.move(
        [to(job, Status.QUEUED) for job in reversed(jobs)],
        verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("tester")),
    )
    logged = ExecutionLog.objects.filter(to_status="Queued").order_by("id").values_list("job_id", flat=True)
    assert list(logged) == [job.pk for job in jobs]


@pytest.mark.parametrize("skip_locked", [True, False])
def test_rows_that_nobody_holds_move_in_both_modes(skip_locked: bool) -> None:
    job = pending_job()
    assert verbs.move(
        [to(job, Status.QUEUED)],
        verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("t"), skip_locked=skip_locked),
    )
