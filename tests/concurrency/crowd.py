"""Many threads at once, each with its own database connection, and what they all must leave behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from django.db import connection, connections

from django_jobs import submit_jobs
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from django_jobs.statuses import DISPATCHABLE, Status, may_move
from tests.support import verbs
from tests.support.verbs import NOW, Move

#: SQLite has one lock for the whole database, so that a crowd only queues up there.
IS_SQLITE = "sqlite"


def is_small() -> bool:
    """Whether this database deserves only the small version of a test."""
    return connection.vendor == IS_SQLITE


def run_crowd(members: Sequence[Callable[[], object]], timeout: float = 100.0) -> None:
    """Run all of them at once, each in a thread; the first error of any of them is raised here."""
    start = threading.Barrier(len(members))
    errors: list[BaseException] = []

    def run(member: Callable[[], object]) -> None:
        try:
            start.wait(timeout)
            member()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[member], daemon=True) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def make_pending(kind: JobType, organization: Organization, count: int) -> list[Job]:
    """Submitted and committed jobs."""
    common = {"job_type": kind, "organization": organization}
    return submit_jobs([{**common, "parameters": {"number": number}} for number in range(count)])


def make_queued(kind: JobType, organization: Organization, count: int) -> list[Job]:
    """Jobs that were dispatched, whatever the broker's room."""
    jobs = make_pending(kind, organization, count)
    values = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
    waiting = Job.objects.filter(pk__in=[job.pk for job in jobs], status=Status.PENDING)
    moves = [Move(pk=pk, to_status=Status.QUEUED, values=values) for pk in waiting.values_list("pk", flat=True)]
    for start in range(0, len(moves), 200):
        verbs.move(moves[start : start + 200], verbs.Terms(sources=DISPATCHABLE, actor=verbs.user_named("test")))
    return jobs


def assert_histories_are_chains() -> None:
    """Every log row begins where the one before it ended, attempts only grow, and the row agrees with the last."""
    last: dict[int, tuple[str, int]] = {}
    fields = ("job_id", "from_status", "to_status", "attempt")
    for pk, from_status, to_status, attempt in ExecutionLog.objects.order_by("id").values_list(*fields):
        status, before = last.get(pk, ("", 0))
        assert from_status == status, f"job {pk}: {status} was followed by {from_status} → {to_status}"
        assert not status or may_move(from_status, to_status)
        assert attempt == before + (to_status == Status.RUNNING), f"job {pk}: attempt {attempt} after {before}"
        last[pk] = (to_status, attempt)
    assert {pk: (status, attempt) for pk, status, attempt in Job.objects.values_list("pk", "status", "attempt")} == last
