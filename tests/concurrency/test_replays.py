"""A replay retries each job once and counts it once, however many schedulers work at it and whoever interferes."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.engine.control import replays
from django_jobs.engine.control.retry import retry_job
from django_jobs.exceptions import InvalidTransition
from django_jobs.models import ExecutionLog, Job, Replay
from django_jobs.statuses import Status
from tests.concurrency.crowd import is_small, run_crowd
from tests.support.brokers import job_in
from tests.support.factories import make_job_type, make_organization, make_system_admin
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("broker")


def dead_group(count: int) -> list[Job]:
    kind, organization = make_job_type(), make_organization()
    return [job_in(Status.DEAD_LETTER, job_type=kind, organization=organization) for _ in range(count)]


def begin(job: Job) -> Replay:
    replay = replays.start_replay(
        job.job_type_id,
        job.error_fingerprint,
        user=make_system_admin("root"),
        per_minute=replays.MAX_PER_MINUTE,
    )
    assert replay is not None
    return replay


def is_over(pk: int) -> bool:
    row = Replay.objects.get(pk=pk)
    # As if time went by.
    rows = Replay.objects.filter(pk=pk, state=Replay.State.RUNNING, released_until=row.released_until)
    rows.update(released_until=row.released_until - dt.timedelta(seconds=5))
    replays.work_off()
    return Replay.objects.get(pk=pk).state == Replay.State.DONE


def lives() -> list[int]:
    """Which jobs came to life again, each as often as it did."""
    rows = ExecutionLog.objects.filter(from_status=Status.DEAD_LETTER, to_status=Status.PENDING)
    return sorted(rows.values_list("job_id", flat=True))


def test_several_schedulers_retry_each_job_once() -> None:
    jobs = dead_group(20 if is_small() else 120)
    replay = begin(jobs[0])
    run_crowd([lambda: wait_until(lambda: is_over(replay.pk), 60, "the end of the replay")] * 4)
    replay.refresh_from_db()
    assert lives() == [job.pk for job in jobs]
    assert (replay.changed, replay.refused) == (len(jobs), {})


def test_people_who_retry_the_same_jobs_are_counted_apart() -> None:
    jobs = dead_group(10 if is_small() else 60)
    replay = begin(jobs[0])
    by_hand: list[int] = []

    def interfere() -> None:
        for job in reversed(jobs):
            try:
                retry_job(job)
            except InvalidTransition:
                return
            by_hand.append(job.pk)

    run_crowd([lambda: wait_until(lambda: is_over(replay.pk), 60, "the end of the replay"), interfere])
    replay.refresh_from_db()
    assert lives() == [job.pk for job in jobs]
    assert replay.changed == len(jobs) - len(by_hand)
    assert replay.refusals == len(by_hand)
