"""Handlers that write down outside the database when they ran."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from django_jobs.exceptions import PermanentError, RetryLater, TransientError
from tests.support.record import note, recorded

if TYPE_CHECKING:
    from django_jobs import JobContext


def work(context: JobContext) -> dict[str, Any]:
    """Run for ``seconds`` with checkpoints, then end as ``ends`` says: by attempt, or the same way each time.

    Ends are ``return``, ``fail``, ``fail for good`` and ``later``. A list of seconds or ends holds one for each
    attempt, and its last one for all that follow. Without ``ends`` it returns.
    """
    with recorded(context):
        _take_time(context, float(_of_attempt(context, context.parameters.get("seconds", 0))))
        _end(_of_attempt(context, context.parameters.get("ends", "return")))
    return {"attempt": context.attempt}


def _take_time(context: JobContext, seconds: float) -> None:
    pause = threading.Event()
    steps = round(seconds / 0.05)
    for step in range(steps):
        context.update_progress(100 * step // steps)
        pause.wait(0.05)
        note("alive", context)


def _of_attempt(context: JobContext, said: Any) -> Any:
    return said[min(context.attempt, len(said)) - 1] if isinstance(said, list) else said


def _end(ends: str) -> None:
    if ends == "fail":
        raise TransientError("try again")
    if ends == "fail for good":
        raise PermanentError("never again")
    if ends == "later":
        raise RetryLater(0, "not now")


def save(context: JobContext) -> dict[str, Any]:
    """Save a file and return its reference."""
    with recorded(context):
        reference = context.save_output("output.txt", f"attempt {context.attempt}")
    return {"output_reference": reference}


def submit_another(context: JobContext) -> dict[str, Any]:
    """Submit a job that a later attempt does not submit again."""
    with recorded(context):
        job = context.submit_job("plain", {"of": context.job_id})
    return {"submitted": job.name}


def in_steps(context: JobContext) -> dict[str, Any]:
    """Do three things in steps, each of which is written down, and leave a checkpoint between them."""
    with recorded(context):
        for name in ("charge", "book", "mail"):
            context.step(name, note, "step", context, name)
            context.checkpoint["last"] = name
            context.save_checkpoint()
    return {"steps": 3}
