"""What the jobs of tests do; the only module besides the apps' own that tests.settings allow handlers in."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from django_jobs.exceptions import PermanentError, TransientError

if TYPE_CHECKING:
    from django_jobs.engine.context import JobContext


def do_nothing(context: JobContext) -> None:
    """Completes at once."""


def echo(context: JobContext) -> dict[str, Any]:
    """Returns its parameters."""
    return {"echo": context.parameters}


def save_text(context: JobContext) -> dict[str, Any]:
    """Saves ``text`` as a file and returns its reference."""
    return {"output_reference": context.save_output("text.txt", str(context.parameters["text"]))}


def report_progress(context: JobContext) -> None:
    """Says 0, 50 and 100 per cent."""
    for percent in (0, 50, 100):
        context.update_progress(percent, f"at {percent}")


def fail_for_now(context: JobContext) -> None:
    raise TransientError("try again")


def fail_for_good(context: JobContext) -> None:
    raise PermanentError("never again")


def fail_unexpectedly(context: JobContext) -> None:
    raise ZeroDivisionError("secret text")


def fail_until_attempt(context: JobContext) -> dict[str, Any]:
    """Fails transiently until the attempt whose number ``succeeds_at`` gives."""
    if context.attempt < context.parameters["succeeds_at"]:
        raise TransientError(f"attempt {context.attempt}")
    return {"attempt": context.attempt}


def return_a_set(context: JobContext) -> Any:
    """Breaks the contract: a set is no JSON."""
    return {"numbers": {1, 2}}


def wait_with_checkpoints(context: JobContext) -> None:
    """Runs until it is canceled, looking at every checkpoint."""
    pause = threading.Event()
    while True:
        context.update_progress(50, "waiting")
        pause.wait(0.02)


def wait_without_checkpoints(context: JobContext) -> None:
    """Says that it started, then runs for a minute without ever calling the context."""
    context.update_progress(1, "waiting")
    threading.Event().wait(60)


def wait_for_file(context: JobContext) -> None:
    """Says that it started, then runs until the file ``path`` exists: how a test decides when a job ends."""
    context.update_progress(1, "waiting")
    pause = threading.Event()
    while not os.path.exists(context.parameters["path"]):  # noqa: PTH110  (parameters are text)
        pause.wait(0.01)


def kill_own_process(context: JobContext) -> None:
    """A poison job: takes its worker process with it."""
    os.kill(os.getpid(), signal.SIGKILL)


async def echo_async(context: JobContext) -> dict[str, Any]:
    """Returns its parameters, from a coroutine."""
    return {"echo": context.parameters}
