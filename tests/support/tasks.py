"""Tasks of Django's interface, as packages ship them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from django_jobs.exceptions import PermanentError, RetryLater, TransientError
from tests.support import verbs

Decorator = Callable[[Callable[..., Any]], Any]

#: Django's own interface; before Django 6.0 that of django-tasks.
interface: Final[Any] = import_module(verbs.DjangoTask.__module__.removesuffix(".base"))
#: The stubs know Django's own class of tasks only, which takes fewer keywords.
bare_task: Decorator = interface.task


def task(**keywords: Any) -> Decorator:
    return interface.task(**keywords)  # type: ignore[no-any-return]


class Refused(Exception):
    """An error of a module of its own."""


@bare_task
def bare(*args: Any, **kwargs: Any) -> None:
    """Takes anything, says nothing of its jobs."""


@task()
def add(first: int, second: int = 0) -> int:
    return first + second


@task()
def whisper() -> str:
    return "quiet"


@task()
def Whisper() -> str:  # noqa: N802  (its name differs in case alone)
    return "Quiet"


@task()
async def double(number: int) -> dict[str, Any]:
    claimed = verbs.current_job.get()
    return {"doubled": number * 2, "job": claimed and claimed.job_id}


@task()
@verbs.task_options(max_retries=1, retry_delay=0, timeout=17, display_name="A task that fails")
def fail(text: str) -> None:
    raise Refused(text)


@task()
@verbs.task_options(max_retries=0)
async def fail_in_loop(text: str) -> None:
    raise ValueError(text)


@task()
@verbs.task_options(max_retries=0)
def fail_with_a_cause() -> None:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise ValueError(ValueError("second")) from error


@task()
def leave(text: str) -> None:
    raise SystemExit(text)


@task()
def give_up() -> None:
    raise PermanentError("never")


@task()
def ask_for_later() -> None:
    raise RetryLater(60)


@task()
def return_no_json() -> Any:
    return lambda: True


@task(takes_context=True)
def tell_context(context: Any) -> dict[str, Any]:
    context.job.update_progress(50, "half")
    result = context.task_result
    return {
        "id": result.id,
        "attempt": context.attempt,
        "status": str(result.status),
        "workers": result.worker_ids,
        "queue": result.task.queue_name,
        "priority": result.task.priority,
    }


@task(takes_context=True)
async def tell_context_in_loop(context: Any, word: str) -> list[Any]:
    return [word, context.attempt]


@task(takes_context=True)
@verbs.task_options(max_retries=3, retry_delay=0)
def succeed_at(context: Any, attempt: int) -> int:
    if context.attempt < attempt:
        raise TransientError(f"attempt {context.attempt}")
    return int(context.attempt)


@task()
@verbs.task_options(unique_key="sync-{customer}", deduplication_window=600)
def sync_customer(customer: int, *, full: bool = False) -> None:
    pass


@task()
@verbs.task_options(concurrency_key="customer", max_running_per_key=1)
def charge(customer: int) -> None:
    pass


@task()
def enqueue_another(number: int) -> str:
    return str(add.enqueue(number, 1).id)


def whose() -> str:
    """Say to whom tasks belong, as OPTIONS may name it."""
    return "ORG-CHOSEN"


not_its_name = task()(lambda: None)
