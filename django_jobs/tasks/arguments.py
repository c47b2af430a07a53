"""The arguments and the priority of a task as those of its job."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django_jobs.exceptions import PermanentError
from django_jobs.statuses import Priority
from django_jobs.tasks.framework import InvalidTask, Task, normalize_json
from django_jobs.texts import say

# The arguments of a task as the parameters of its job.


ARGS: Final = "args"
KWARGS: Final = "kwargs"


def blame(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise an error that names the first argument that is no JSON."""
    named = [(f"argument {number}", value) for number, value in enumerate(args, 1)]
    for name, value in [*named, *((f"argument {name!r}", value) for name, value in kwargs.items())]:
        try:
            normalize_json(value)
        except RecursionError as error:
            text = "%(task)s(): %(argument)s is nested too deeply or contains itself."
            raise ValueError(say(text, code="too_deep", task=task.module_path, argument=name)) from error
        except (TypeError, ValueError) as error:
            text = say(
                "%(task)s(): %(argument)s is no JSON. %(error)s. Pass texts, numbers, booleans, None, lists and dicts "
                "of these; of a row pass its key.",
                code="no_json",
                task=task.module_path,
                argument=name,
                error=str(error),
            )
            raise type(error)(text) from error


def parameters(
    task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the job's parameters. Where the type has a concurrency key, that argument stands beside the others."""
    found: dict[str, Any] = {ARGS: args, KWARGS: kwargs}
    key = options.get("concurrency_key")
    if not key:
        return found
    if key in found:
        text = "%(task)s: a concurrency_key cannot be called %(key)r; rename the argument."
        raise InvalidTask(say(text, code="reserved_name", task=task.module_path, key=key))
    return {**found, key: _named(task, args, kwargs, "concurrency_key").get(key)}


def of_job(given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments that a job's parameters hold. Raises PermanentError for parameters of another shape.

    Those come from elsewhere, as from a schedule of the task's type.
    """
    args, kwargs = given.get(ARGS, []), given.get(KWARGS, {})
    if not isinstance(args, list) or not isinstance(kwargs, dict) or (given and not {ARGS, KWARGS} & given.keys()):
        raise PermanentError('The parameters of a task\'s job are {"args": [...], "kwargs": {...}}.')
    return args, kwargs


def unique_key(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], wanted: Any) -> str:
    """Return the text by which the same work is known.

    It is what a function makes of the arguments, or a text in which ``{name}`` stands for the argument of that name.
    """
    if callable(wanted):
        found = wanted(*args, **kwargs)
    elif isinstance(wanted, str) and "{" not in wanted:
        return wanted
    else:
        found = _filled(task, args, kwargs, wanted)
    if not isinstance(found, str):
        text = "%(task)s: its unique_key is %(found)r; it must be a text, or make one."
        raise InvalidTask(say(text, code="not_a_text", task=task.module_path, found=found))
    return found


def _filled(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], wanted: Any) -> Any:
    if not isinstance(wanted, str):
        return wanted
    try:
        return wanted.format_map(_named(task, args, kwargs, "unique_key"))
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        text = say(
            "%(task)s: its unique_key %(key)r does not fit the arguments (%(error)r). Name them as the function does, "
            "such as '{customer_id}'.",
            code="key_does_not_fit",
            task=task.module_path,
            key=wanted,
            error=error,
        )
        raise InvalidTask(text) from error


def _named(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """Return the arguments by the names of the function's parameters, defaults included."""
    first = (None,) if task.takes_context else ()
    try:
        bound = inspect.signature(task.func).bind(*first, *args, **kwargs)
    except TypeError as error:
        text = "%(task)s(): %(error)s; its %(what)s reads the arguments."
        raise TypeError(
            say(text, code="wrong_arguments", task=task.module_path, error=str(error), what=what)
        ) from error
    bound.apply_defaults()
    return bound.arguments


# Django's 201 priorities and our four, and the order within these.


#: From this one up a task is Critical, and from that one up High.
CRITICAL_FROM: Final = 51
HIGH_FROM: Final = 1
#: The lowest of them.
LOW_FROM: Final = -100


def priority_of(number: int) -> Priority | None:
    """Return the priority of a job: below 0 Low, 1 to 50 High, above that Critical; None, the type's own, for 0.

    A larger number never becomes a lower priority.
    """
    if number == 0:
        return None
    if number < 0:
        return Priority.LOW
    return Priority.CRITICAL if number >= CRITICAL_FROM else Priority.HIGH


def head_start_of(number: int) -> int:
    """Return by how many hours a job goes before jobs of its priority with the least number: one for each number more.

    So -1 has the most of the Low ones, and 0, the type's own priority, has none.
    """
    if number == 0:
        return 0
    if number < 0:
        return number - LOW_FROM
    return number - (CRITICAL_FROM if number >= CRITICAL_FROM else HIGH_FROM)
