"""The verbs for async code."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction

import django_jobs
from django_jobs import acancel_job, acreate_batch, aget_job_status, asubmit_job, await_job, cancel_job
from django_jobs.exceptions import InvalidSubmission, JobFailed, JobNotFound
from django_jobs.models import Batch, Job
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.brokers import job_in, pending_job, running_job
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("broker")


@async_to_sync
async def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What the coroutine function returns, from an event loop of its own."""
    return await function(*args, **kwargs)


def committed(job: Job) -> Job:
    """A job that this connection takes for committed, though a test's transaction is around it."""
    verbs.database_connection().__dict__.pop("django_jobs_uncommitted", None)
    return job


def test_a_job_is_submitted() -> None:
    job = call(asubmit_job, make_job_type(), make_organization(), {"a": 1}, "High", metadata={"b": 2})
    assert (job.status, job.input_parameters, job.metadata, job.priority) == ("Pending", {"a": 1}, {"b": 2}, 2)


def test_a_submission_is_refused_as_ever() -> None:
    with pytest.raises(InvalidSubmission):
        call(asubmit_job, "unknown", make_organization())


def test_a_status_is_read() -> None:
    job = job_in("Completed")
    assert call(aget_job_status, job.name).status == "Completed"


def test_what_a_user_may_not_see_is_not_found() -> None:
    user = make_user()
    job = committed(pending_job())
    for verb in (aget_job_status, acancel_job, await_job):
        with pytest.raises(JobNotFound):
            call(verb, job.name, user=user)


def test_a_job_is_canceled() -> None:
    assert call(acancel_job, pending_job()).status == "Canceled"


def test_a_block_closes_its_batch() -> None:
    organization = make_organization()

    async def fill() -> Batch:
        async with await acreate_batch(organization) as batch:
            return batch

    assert call(fill).closed_at is not None


def test_a_completed_job_is_awaited() -> None:
    assert call(await_job, committed(job_in("Completed"))).status == "Completed"


def test_a_job_that_ended_otherwise_raises() -> None:
    with pytest.raises(JobFailed):
        call(await_job, committed(job_in("Dead Letter")))


def test_time_runs_out() -> None:
    with refused(TimeoutError, "not_completed"):
        call(await_job, committed(pending_job()), timeout=0)


def test_a_handler_cannot_await_a_job() -> None:
    _, claimed = running_job()
    token = verbs.current_job.set(claimed)
    try:
        with refused(RuntimeError, "in_handler"):
            call(await_job, committed(pending_job()))
    finally:
        verbs.current_job.reset(token)


def test_the_submitting_transaction_cannot_wait() -> None:
    with transaction.atomic():
        job = pending_job()
        with refused(RuntimeError, "in_transaction"):
            call(await_job, job)


def test_the_loop_does_other_things_meanwhile() -> None:
    job = committed(pending_job())

    @async_to_sync
    async def both() -> list[Any]:
        return list(await asyncio.gather(await_job(job, timeout=30), sync_to_async(run_jobs)()))

    waited, (ran,) = both()
    assert (waited.job_id, waited.status) == (ran.job_id, "Completed")


def test_a_wait_can_be_canceled() -> None:
    job = committed(pending_job())

    @async_to_sync
    async def give_up() -> None:
        async with asyncio.timeout(0.05):
            await await_job(job)

    with pytest.raises(TimeoutError):
        give_up()


@pytest.mark.parametrize("name", ["submit_job", "get_job_status", "cancel_job"])
def test_a_twin_takes_what_its_verb_takes(name: str) -> None:
    verb, twin = getattr(django_jobs, name), getattr(django_jobs, f"a{name}")
    assert inspect.signature(twin) == inspect.signature(verb)
    assert twin.__name__ == f"a{name}"
    assert inspect.iscoroutinefunction(twin)


def test_the_verbs_themselves_stay_what_they_are() -> None:
    assert not inspect.iscoroutinefunction(cancel_job)
