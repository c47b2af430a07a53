"""Submitting a task's job: its parameters, its priority, and whose it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

from django_jobs.engine import organizations
from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.job_types.declared_types import declaration_doubts, value_problems
from django_jobs.engine.submission import submit
from django_jobs.exceptions import JobTypeNotFound, OrganizationNotFound
from django_jobs.models import Job, get_organization_model
from django_jobs.statuses import Priority
from django_jobs.tasks import job_types, results
from django_jobs.tasks.declaring import OF_BACKEND, options_of, type_fields
from django_jobs.tasks.framework import InvalidTask, InvalidTaskBackend, Task, TaskResult, normalize_json
from django_jobs.tasks.results import ARGS, KWARGS
from django_jobs.texts import say

# The arguments of a task as the parameters of its job.


def as_json(task: Task[..., Any], argument: str, value: Any) -> Any:
    """Return an argument as JSON. Raises an error that names it where it is none."""
    try:
        return normalize_json(value)
    except RecursionError as error:
        text = "%(task)s(): %(argument)s is nested too deeply or contains itself."
        raise ValueError(say(text, code="too_deep", task=task.module_path, argument=argument)) from error
    except (TypeError, ValueError) as error:
        text = say(
            "%(task)s(): %(argument)s is no JSON. %(error)s. Pass texts, numbers, booleans, None, lists and dicts "
            "of these; of a row pass its key.",
            code="no_json",
            task=task.module_path,
            argument=argument,
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


def unique_key(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], wanted: Any) -> str:
    """Return the text by which the same work is known.

    It is what a function makes of the arguments, or a text in which ``{name}`` stands for the argument of that name.
    """
    if isinstance(wanted, str):
        return _filled(task, args, kwargs, wanted) if "{" in wanted else wanted
    found = wanted(*args, **kwargs) if callable(wanted) else wanted
    if not isinstance(found, str):
        text = "%(task)s: its unique_key is %(found)r; it must be a text, or make one."
        raise InvalidTask(say(text, code="not_a_text", task=task.module_path, found=found))
    return found


def _filled(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], pattern: str) -> str:
    try:
        return pattern.format_map(_named(task, args, kwargs, "unique_key"))
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        text = say(
            "%(task)s: its unique_key %(key)r does not fit the arguments (%(error)r). Name them as the function does, "
            "such as '{customer_id}'.",
            code="key_does_not_fit",
            task=task.module_path,
            key=pattern,
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


#: The least number of each priority, the most urgent first. 0 is the type's own.
LEAST: Final = {Priority.CRITICAL: 51, Priority.HIGH: 1, Priority.LOW: -100}


def priority_of(number: int) -> Priority | None:
    """Return the priority of a job: below 0 Low, 1 to 50 High, above that Critical; None, the type's own, for 0.

    A larger number never becomes a lower priority.
    """
    return next(priority for priority, least in LEAST.items() if number >= least) if number else None


def head_start_of(number: int) -> int:
    """Return by how many hours a job goes before jobs of its priority with the least number: one for each number more.

    So -1 has the most of the Low ones, and 0, the type's own priority, has none.
    """
    priority = priority_of(number)
    return 0 if priority is None else number - LEAST[priority]


# Whose job a task becomes.


def organization_for(named: Any, alias: str) -> Any:
    """Return the organization of a new job, an id or an instance, for what ``@task`` or the backend's options name.

    It is the one that they name, or that the function returns which they name; else that of the job whose handler
    enqueues; else the system organization. Raises OrganizationNotFound where none of them is.
    """
    found = _said_by(named, alias)
    if found is not None:
        return found
    claimed = current_job.get()
    if claimed is not None:
        return get_organization_model()(pk=claimed.organization_pk)
    found = organizations.system_id()
    if found is not None:
        return found
    text = say(
        "Whose job is it? Let TASKS[%(alias)r]['OPTIONS']['organization'] name an organization or a function that "
        "returns one, call using(organization=…), or set DJANGO_JOBS['SYSTEM_ORGANIZATION'].",
        code="no_organization",
        alias=alias,
    )
    raise OrganizationNotFound({"organization": [text]})


def _said_by(named: Any, alias: str) -> Any:
    if callable(named):
        return named()
    function = function_at(named, alias) if isinstance(named, str) else None
    return named if function is None else function()


def function_at(path: str, alias: str) -> Callable[[], Any] | None:
    """Return the function of a dotted path; None for a text that is none, but an id.

    A text is a path where its first part is a module that is there. Raises InvalidTaskBackend for one that leads to no
    function.
    """
    if not all(part.isidentifier() for part in path.split(".")) or "." not in path or not _is_module(path):
        return None
    try:
        found = import_string(path)
    except ImportError as error:
        text = "TASKS[%(alias)r]: the organization %(path)r cannot be imported: %(error)s"
        raise InvalidTaskBackend(say(text, code="not_importable", alias=alias, path=path, error=str(error))) from error
    if not callable(found):
        text = "TASKS[%(alias)r]: the organization %(path)r is no function."
        raise InvalidTaskBackend(say(text, code="not_a_function", alias=alias, path=path))
    return found  # type: ignore[no-any-return]


def _is_module(path: str) -> bool:
    try:
        return find_spec(path.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


# Submitting a task's job.


#: What a submission takes as it is.
_AS_IT_IS: Final = ("timeout", "max_retries", "deduplication_window", "expires_at")


def enqueue(
    task: Task[..., Any], alias: str, args: Sequence[Any], kwargs: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[TaskResult[..., Any], bool]:
    """Submit the job, and return the task's result and whether the job is new.

    It is not where the task has a ``unique_key`` and the same work is there already: then the result is that job's.
    """
    args = [as_json(task, f"argument {number}", value) for number, value in enumerate(args, 1)]
    kwargs = {name: as_json(task, f"argument {name!r}", value) for name, value in kwargs.items()}
    options, changes = options_of(task, defaults), getattr(task, "changes", {})
    given = _given(task, alias, args, kwargs, {**options, **changes})
    given |= {name: changes[name] for name in _AS_IT_IS if name in changes}
    # A path is followed only where the code names it: what using() gets may come from outside.
    organization = changes.get("organization")
    if organization is None:
        organization = organization_for(options.get("organization"), alias)
    job, is_new = _submit(task, alias, options, organization, given, defaults)
    if is_new:
        return results.result_of(job, [], task), True
    return results.read(job.name), False


def _given(
    task: Task[..., Any], alias: str, args: list[Any], kwargs: dict[str, Any], said: Mapping[str, Any]
) -> dict[str, Any]:
    given: dict[str, Any] = {
        "parameters": parameters(task, args, kwargs, said),
        "metadata": results.notes(task, alias),
        "priority": priority_of(task.priority),
        "head_start": head_start_of(task.priority),
        "run_at": task.run_after,
        "on_duplicate": said.get("on_duplicate", "return"),
    }
    if said.get("unique_key") is not None:
        given["unique_key"] = unique_key(task, args, kwargs, said["unique_key"])
    return given


def _submit(
    task: Task[..., Any],
    alias: str,
    options: Mapping[str, Any],
    organization: Any,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> tuple[Job, bool]:
    name, followed = job_types.ensure(task, alias, options)
    if followed != alias:
        given = _with_defaults(given, job_types.defaults_of_one_job(task, defaults))
    try:
        return submit.submit_or_find(name, organization, given, None)
    except JobTypeNotFound:  # the row that this process saw is gone
        job_types.forget(name)
        job_types.ensure(task, alias, options)
        return submit.submit_or_find(name, organization, given, None)


def _with_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given, and what is not by default: the type's row follows another backend than the job's."""
    return {**defaults, **{name: value for name, value in given.items() if value is not None or name not in defaults}}


# System checks of the backend's options. Django asks each backend for its own.


#: The id of the check that says the same of a declared handler's pool.
UNKNOWN_POOL: Final = "django_jobs.W026"


def check_options(alias: str, options: Mapping[str, Any]) -> list[CheckMessage]:
    """Return what is wrong with a backend's options."""
    place = f"TASKS[{alias!r}]['OPTIONS']"
    known = ", ".join(sorted(OF_BACKEND))
    found: list[CheckMessage] = [
        Error(f"{place} has an unknown option {name!r}.", hint=f"Known are: {known}.", id="django_jobs.E043")
        for name in sorted(set(options) - OF_BACKEND)
    ]
    if found:
        return found
    fields = type_fields(options)
    found = [
        Error(f"{place}: {problem}", hint="See docs/tasks.md for what each option takes.", id="django_jobs.E044")
        for problem in [*value_problems(fields), *_organization_problems(alias, options)]
    ]
    return found or [
        Warning(
            f"{place}: {doubt}",
            hint="Add the pool to DJANGO_JOBS['POOLS'] and start workers for it, or name another.",
            id=UNKNOWN_POOL,
        )
        for doubt in declaration_doubts(fields)
    ]


def _organization_problems(alias: str, options: Mapping[str, Any]) -> list[str]:
    named = options.get("organization")
    try:
        if isinstance(named, str):
            function_at(named, alias)
    except InvalidTaskBackend as error:
        return [str(error)]
    return []
