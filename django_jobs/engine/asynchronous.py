"""The public calls for async code. They run in the thread where Django keeps its connections."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from django_jobs.engine.batches import create_batch, get_batch_status
from django_jobs.engine.control.acts import cancel_job
from django_jobs.engine.control.batches import cancel_batch, retry_batch
from django_jobs.engine.insight.status import Wait, get_job_status
from django_jobs.engine.schedules.definitions import schedule_job, unschedule
from django_jobs.engine.submission.submit import submit_job
from django_jobs.models import Job
from django_jobs.values import JobStatus

P = ParamSpec("P")
R = TypeVar("R")


def _twin(verb: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return a coroutine function that does the same."""

    @functools.wraps(verb)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> R:
        return await sync_to_async(verb, thread_sensitive=True)(*args, **kwargs)

    twin.__name__ = twin.__qualname__ = f"a{verb.__name__}"
    return twin


asubmit_job = _twin(submit_job)
aget_job_status = _twin(get_job_status)
acancel_job = _twin(cancel_job)
acreate_batch = _twin(create_batch)
aget_batch_status = _twin(get_batch_status)
acancel_batch = _twin(cancel_batch)
aretry_batch = _twin(retry_batch)
aschedule_job = _twin(schedule_job)
aunschedule = _twin(unschedule)


async def await_job(job_id: str | Job, timeout: float = 300, *, user: Any = None) -> JobStatus:  # noqa: ASYNC109
    """Wait until the job ends, as :func:`~django_jobs.wait_for_job` does, without holding the loop or a thread.

    Return its status. ``timeout`` is in seconds.
    """
    wait = Wait(job_id, timeout, user)
    while isinstance(seen := await sync_to_async(wait.look, thread_sensitive=True)(), float):  # noqa: ASYNC110
        await asyncio.sleep(seen)
    return seen
