"""What Django's interface and ours say of the same thing: priorities, names of types, exceptions in tracebacks."""

from __future__ import annotations

import traceback
from collections import defaultdict
from typing import Any

import pytest

from django_jobs.models import ExecutionLog
from django_jobs.statuses import Priority, Status
from django_jobs.tasks.enqueuing import head_start_of, priority_of
from django_jobs.tasks.job_types import name_of
from django_jobs.tasks.results import class_path, errors_of
from tests.support.tasks import Refused


def test_a_larger_number_is_never_a_lower_priority() -> None:
    found = [priority_of(number) for number in range(-100, 101)]
    levels = [Priority.NORMAL if item is None else item for item in found]
    assert levels == sorted(levels)
    assert (set(levels), found[100], levels[-100:].count(Priority.HIGH)) == (set(Priority), None, 50)


def test_a_larger_number_of_the_same_priority_has_a_larger_head_start() -> None:
    numbers: dict[Priority | None, list[int]] = defaultdict(list)
    for number in range(-100, 101):
        numbers[priority_of(number)].append(number)
    found = {priority: [head_start_of(number) for number in own] for priority, own in numbers.items()}
    assert found == {
        Priority.LOW: list(range(100)),
        None: [0],
        Priority.HIGH: list(range(50)),
        Priority.CRITICAL: list(range(50)),
    }


def test_a_type_has_the_name_of_its_task() -> None:
    assert name_of("shop.tasks.send") == "task:shop.tasks.send"


def test_names_that_are_too_long_stay_apart() -> None:
    names = {name_of(f"{'shop.' * 20}tasks.{last}") for last in ("send", "store")}
    assert sorted(map(len, names)) == [100, 100]


def made_by_a_function(base: Any, *arguments: Any) -> Exception:
    class Made(base):  # type: ignore[misc]
        pass

    return Made(*arguments)


def after(error: Exception, cause: Exception) -> Exception:
    """Return an exception that was raised from another one, which was raised itself."""
    try:
        raise cause
    except type(cause) as known:
        error.__cause__ = known
    return error


def raised(error: BaseException) -> str:
    try:
        raise error
    except BaseException:  # noqa: BLE001
        return traceback.format_exc()


@pytest.mark.parametrize(
    ("error", "path"),
    [
        (ValueError("one"), "builtins.ValueError"),
        (ValueError("two\nTypeError: lines"), "builtins.ValueError"),
        (KeyError(), "builtins.KeyError"),
        (Refused("no"), "tests.support.tasks.Refused"),
        (ExceptionGroup("both", [ValueError(1), TypeError(2)]), "builtins.ExceptionGroup"),
        (made_by_a_function(ValueError, "no"), f"{__name__}.made_by_a_function.<locals>.Made"),
        (
            made_by_a_function(ExceptionGroup, "both", [ValueError(1)]),
            f"{__name__}.made_by_a_function.<locals>.Made",
        ),
        (after(RuntimeError("all"), ExceptionGroup("both", [ValueError(1)])), "builtins.RuntimeError"),
        (after(ExceptionGroup("both", [ValueError(1)]), KeyError("first")), "builtins.ExceptionGroup"),
    ],
    ids=[
        "built in",
        "lines",
        "blank",
        "of a module",
        "group",
        "of a function",
        "group of a function",
        "from a group",
        "group from another",
    ],
)
def test_the_class_of_an_exception_is_read_from_its_traceback(error: Any, path: str) -> None:
    assert class_path(raised(error)) == path


def test_what_is_no_traceback_has_no_class_of_its_own() -> None:
    assert class_path("Worker lost\n") == "django_jobs.exceptions.JobFailed"


def test_a_task_that_was_killed_says_why() -> None:
    stacks = 'Thread 0x00007f7f44ff96c0 (most recent call first):\n  File "/shop/tasks.py", line 38 in slow\n'
    ends = (Status.TIMED_OUT, Status.CANCELED)
    rows = [ExecutionLog(from_status=Status.RUNNING, to_status=end, message="Killed", traceback=stacks) for end in ends]
    assert [(error.exception_class_path, error.traceback) for error in errors_of(rows)] == [
        ("django_jobs.exceptions.JobTimedOut", stacks),
        ("django_jobs.exceptions.JobCanceled", "Killed\n"),
    ]
