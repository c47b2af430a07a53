"""What Django's interface and ours say of the same thing: priorities, names of types, exceptions in tracebacks."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from django_jobs.statuses import Priority
from django_jobs.tasks.attempts import class_path
from django_jobs.tasks.job_types import name_of
from django_jobs.tasks.priorities import priority_of
from tests.support.tasks import Refused


def test_a_larger_number_is_never_a_lower_priority() -> None:
    found = [priority_of(number) for number in range(-100, 101)]
    levels = [Priority.NORMAL if item is None else item for item in found]
    assert levels == sorted(levels)
    assert (set(levels), found[100], levels[-100:].count(Priority.HIGH)) == (set(Priority), None, 50)


def test_a_type_has_the_name_of_its_task() -> None:
    assert name_of("shop.tasks.send") == "task:shop.tasks.send"


def test_names_that_are_too_long_stay_apart() -> None:
    names = {name_of(f"{'shop.' * 20}tasks.{last}") for last in ("send", "store")}
    assert sorted(map(len, names)) == [100, 100]


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
    ],
    ids=["built in", "lines", "blank", "of a module", "group"],
)
def test_the_class_of_an_exception_is_read_from_its_traceback(error: Any, path: str) -> None:
    assert class_path(raised(error)) == path


def test_what_is_no_traceback_has_no_class_of_its_own() -> None:
    assert class_path("Worker lost\n") == "django_jobs.exceptions.JobFailed"
