"""What Django's documentation asks of every backend of its task interface."""

from __future__ import annotations

import dataclasses
import datetime as dt
import pickle
from typing import Any, Final

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from django_jobs.testing import run_jobs
from tests.support import tasks, verbs
from tests.support.tasks import task
from tests.support.verbs import (
    DjangoTask,
    InvalidTask,
    InvalidTaskBackend,
    JobsBackend,
    JobTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
)

LOGGER: Final = DjangoTask.__module__.partition(".base")[0]


def results_of(item: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """The result of a task that is enqueued by each of the two calls."""
    return [item.enqueue(*args, **kwargs), async_to_sync(item.aenqueue)(*args, **kwargs)]


def test_the_backend_supports_all_that_there_is() -> None:
    backend: Any = verbs.task_backends["default"]
    assert isinstance(backend, JobsBackend)
    assert tasks.interface.default_task_backend == backend
    assert (backend.alias, backend.options) == ("default", {})
    names = ("defer", "async_task", "get_result", "priority")
    assert all(getattr(backend, f"supports_{name}") for name in names)


def test_the_decorator_makes_tasks() -> None:
    for item in (tasks.bare, tasks.add, tasks.double):
        assert isinstance(item, JobTask)
    assert (tasks.add.name, tasks.add.module_path) == ("add", "tests.support.tasks.add")


@pytest.mark.parametrize("item", [tasks.bare, tasks.double])
def test_what_is_enqueued_is_ready(item: Any) -> None:
    for result in results_of(item, 1, two=3):
        assert (result.status, result.is_finished, result.attempts) == (TaskResultStatus.READY, False, 0)
        assert (result.started_at, result.last_attempted_at, result.finished_at) == (None, None, None)
        assert (result.task, result.args, result.kwargs, result.errors) == (item, [1], {"two": 3}, [])
        assert (result.backend, result.worker_ids, len(result.id) < 64) == ("default", [], True)
        assert result.enqueued_at <= timezone.now()
        with pytest.raises(ValueError, match="Task has not finished yet"):
            _ = result.return_value


def test_arguments_go_through_json() -> None:
    result = tasks.bare.enqueue((1, (2,)), words={"a": ("b",)}, blob=b"text")
    assert (result.args, result.kwargs) == ([[1, [2]]], {"words": {"a": ["b"]}, "blob": "text"})
    assert tasks.bare.get_result(result.id) == result


def test_using_leaves_the_task_as_it_is() -> None:
    now = timezone.now()
    changed = tasks.bare.using(run_after=now).using(priority=10, queue_name="mail")
    assert (changed.run_after, changed.priority, changed.queue_name) == (now, 10, "mail")
    assert (tasks.bare.run_after, tasks.bare.priority, tasks.bare.queue_name) == (None, 0, "default")
    assert tasks.bare.using() == tasks.bare
    assert tasks.bare.using() is not tasks.bare


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(InvalidTaskBackend):
        tasks.bare.using(backend="unknown")


def test_no_backend_at_all_is_refused(settings: Any) -> None:
    settings.TASKS = {"other": settings.TASKS["other"]}
    with pytest.raises(InvalidTaskBackend):
        tasks.bare.enqueue()


@pytest.mark.parametrize("priority", [-101, 101, 3.1])
def test_a_wrong_priority_is_refused(priority: Any) -> None:
    with pytest.raises(InvalidTask, match="between -100 and 100"):
        tasks.bare.using(priority=priority)


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(InvalidTask, match="aware"):
        tasks.bare.using(run_after=dt.datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(TypeError):
        task(run_after=timezone.now())(tasks.add.func)


def test_an_unknown_queue_is_refused_also_when_it_is_enqueued(settings: Any) -> None:
    with pytest.raises(InvalidTask, match="queue-2"):
        tasks.bare.using(backend="other", queue_name="queue-2")
    changed = tasks.bare.using(queue_name="queue-2")
    settings.TASKS = {"default": settings.TASKS["other"]}
    for enqueue in (changed.enqueue, async_to_sync(changed.aenqueue)):
        with pytest.raises(InvalidTask, match="queue-2"):
            enqueue()


def test_only_functions_of_a_module_are_tasks() -> None:
    def inner() -> None:
        pass

    for function in (any, inner):
        with pytest.raises(InvalidTask, match="module level"):
            task()(function)
    with pytest.raises(InvalidTask, match="context"):
        task(takes_context=True)(tasks.add.func)


def test_a_task_can_be_called_here() -> None:
    assert tasks.add.call(1, second=2) == 3
    assert async_to_sync(tasks.add.acall)(1) == 1
    assert async_to_sync(tasks.double.acall)(2) == tasks.double.call(2) == {"doubled": 4, "job": None}


def test_a_result_is_found_by_its_id() -> None:
    result = tasks.add.enqueue(1)
    backend: Any = tasks.interface.default_task_backend
    for found in (tasks.add.get_result(result.id), async_to_sync(backend.aget_result)(result.id)):
        assert found == result
    before = dataclasses.asdict(result)
    result.refresh()
    async_to_sync(result.arefresh)()
    assert dataclasses.asdict(result) == before


def test_another_tasks_result_does_not_match() -> None:
    result = tasks.add.enqueue(1)
    for get in (tasks.bare.get_result, async_to_sync(tasks.bare.aget_result)):
        with pytest.raises(Exception, match="Task does not match"):
            get(result.id)


@pytest.mark.parametrize("result_id", ["123", "JOB-2026-00999", "", "JOB-2026-99999999999999999999"])
def test_a_missing_result_is_an_error(result_id: str) -> None:
    for get in (tasks.add.get_result, async_to_sync(tasks.add.aget_result)):
        with pytest.raises(TaskResultDoesNotExist):
            get(result_id)


def test_a_task_that_returns_is_successful() -> None:
    result = tasks.add.enqueue(40, 2)
    run_jobs()
    assert result.status == TaskResultStatus.READY
    result.refresh()
    assert (result.status, result.is_finished, result.return_value) == (TaskResultStatus.SUCCESSFUL, True, 42)
    assert result.enqueued_at <= result.started_at == result.last_attempted_at <= result.finished_at
    assert (result.attempts, len(result.worker_ids), result.errors) == (1, 1, [])


@pytest.mark.parametrize(
    ("item", "exception", "end"),
    [
        (tasks.fail_in_loop, ValueError, "ValueError: boom\n"),
        (tasks.leave.using(max_retries=0), SystemExit, "SystemExit: boom\n"),
        (tasks.fail.using(max_retries=0), tasks.Refused, "tests.support.tasks.Refused: boom\n"),
    ],
    ids=["in the loop", "exit", "of a module"],
)
def test_a_task_that_raises_has_failed(item: Any, exception: type[BaseException], end: str) -> None:
    result = item.enqueue("boom")
    run_jobs()
    result.refresh()
    assert (result.status, result.is_finished, result.attempts) == (TaskResultStatus.FAILED, True, 1)
    assert result.started_at <= result.finished_at
    [error] = result.errors
    assert (error.exception_class, error.traceback.endswith(end)) == (exception, True)
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_the_error_is_the_one_that_was_raised_last() -> None:
    result = tasks.fail_with_a_cause.enqueue()
    run_jobs()
    result.refresh()
    assert (result.errors[0].exception_class, "KeyError" in result.errors[0].traceback) == (ValueError, True)


def test_a_result_that_is_no_json_fails_at_once() -> None:
    result = tasks.return_no_json.enqueue()
    run_jobs(retries=True)
    result.refresh()
    assert (result.status, result.attempts) == (TaskResultStatus.FAILED, 1)
    assert (result.errors[0].exception_class, "Unsupported type" in result.errors[0].traceback) == (TypeError, True)


def test_a_task_may_say_whether_another_try_is_worth_it() -> None:
    never, later = tasks.give_up.enqueue(), tasks.ask_for_later.enqueue()
    run_jobs()
    assert (_state(never), _state(later)) == ((TaskResultStatus.FAILED, 1, 1), (TaskResultStatus.READY, 1, 0))


def test_a_task_may_take_its_context() -> None:
    result = tasks.tell_context.using(queue_name="mail", priority=-3).enqueue()
    other = tasks.tell_context_in_loop.enqueue("word")
    run_jobs()
    result.refresh()
    other.refresh()
    assert result.return_value == {
        "id": result.id,
        "attempt": 1,
        "status": "RUNNING",
        "workers": result.worker_ids,
        "queue": "mail",
        "priority": -3,
    }
    assert other.return_value == ["word", 1]


def test_a_task_that_is_tried_again_is_ready_between_its_attempts() -> None:
    result = tasks.succeed_at.using(max_retries=2).enqueue(3)
    states = [_state(result)]
    for _ in range(3):
        run_jobs(retries=False)
        states.append(_state(result))
    assert states[0] == (TaskResultStatus.READY, 0, 0)
    assert states[-1] == (TaskResultStatus.SUCCESSFUL, 3, 2)
    assert result.return_value == 3
    assert result.started_at < result.last_attempted_at


def _state(result: Any) -> tuple[Any, int, int]:
    result.refresh()
    return result.status, result.attempts, len(result.errors)


@pytest.mark.skipif(not hasattr(DjangoTask, "_reconstruct"), reason="Only tasks of Django 6.1 can be pickled.")
def test_tasks_and_results_can_be_pickled() -> None:
    result = tasks.fail.using(timeout=7).enqueue("x")
    for item in (tasks.fail, tasks.fail.using(timeout=7), result):
        assert pickle.loads(pickle.dumps(item)) == item


def test_the_log_tells_what_happens_to_a_task(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", LOGGER)
    result = tasks.add.enqueue(1)
    failed = tasks.fail_in_loop.enqueue("boom")
    run_jobs()
    told = [record for record in caplog.records if record.name == LOGGER]
    words = ["enqueued", "state=RUNNING", "state=SUCCESSFUL"]
    assert [record.getMessage() for record in told if result.id in record.getMessage()] == [
        f"Task id={result.id} path=tests.support.tasks.add {word}{' backend=default' * (word == 'enqueued')}"
        for word in words
    ]
    [end] = [record for record in told if f"id={failed.id}" in record.getMessage() and record.levelname == "ERROR"]
    assert end.exc_info is not None
    assert str(end.exc_info[1]) == "boom"
