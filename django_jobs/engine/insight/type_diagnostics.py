"""Diagnostics of job types: whether declared ones have their rows, handlers can be loaded, and permissions exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from django_jobs.engine.insight.findings import OK, PROBLEM, WARNING, Finding
from django_jobs.engine.insight.inspection import waiting
from django_jobs.engine.insight.required_permissions import unknown_permissions
from django_jobs.engine.job_types import declared_types, unloadable
from django_jobs.engine.job_types.handlers import path_problem
from django_jobs.engine.store import database
from django_jobs.models import JobType
from django_jobs.texts import say

DECLARED: Final = "declared job types"
HANDLERS: Final = "handlers"
PERMISSIONS: Final = "permissions"
#: How many are named; the others are counted.
MAX_NAMED: Final = 5


def examine_types() -> Iterator[Finding]:
    """Yield one finding for the declarations, one or two for the handlers, and one for permissions that are missing."""
    yield _examine_declarations()
    unloadable_here = _unloadable_here()
    if unloadable_here:
        yield _tell_unloadable(unloadable_here)
    said = unloadable.find()
    if said:
        yield _tell_put_back(said)
    if not unloadable_here and not said:
        yield Finding(level=OK, subject=HANDLERS, text=say("all that are enabled can be loaded.", code="loadable"))
    yield from _examine_permissions()


def _examine_declarations() -> Finding:
    try:
        found = declared_types.differences(using=database.alias(), with_tasks=False)
    except ImproperlyConfigured as error:
        text = say("%(error)s", code="wrong_declarations", error=str(error))
        return Finding(level=PROBLEM, subject=DECLARED, text=text)
    missing = [item.type_name for item in found if item.is_missing]
    if missing:
        text = say(
            "without a row: %(types)s. Run `manage.py migrate` or `manage.py jobs_sync`.",
            code="without_row",
            types=_named(missing),
        )
        return Finding(level=PROBLEM, subject=DECLARED, text=text)
    outdated = [item.type_name for item in found if item.is_written]
    if outdated:
        text = say(
            "their rows are not up to date: %(types)s. Run `manage.py migrate` or `manage.py jobs_sync`.",
            code="not_up_to_date",
            types=_named(outdated),
        )
        return Finding(level=WARNING, subject=DECLARED, text=text)
    return Finding(level=OK, subject=DECLARED, text=say("each has its row.", code="up_to_date"))


def _unloadable_here() -> dict[str, str]:
    """Return what is wrong with handlers of enabled types, by the type's name."""
    rows = JobType.primary.filter(is_enabled=True).order_by("pk")
    asked = {name: path_problem(path) for name, path in rows.values_list("pk", "handler_method")}
    return {name: problem for name, problem in asked.items() if problem}


def _tell_unloadable(problems: dict[str, str]) -> Finding:
    count = waiting().filter(job_type_id__in=list(problems)).count()
    named = _named([f"{name} ({problem.rstrip('.')})" for name, problem in problems.items()])
    text = say(
        "cannot run here: %(types)s. Jobs that wait: %(waiting)d. Mend the import or the path, or disable the type.",
        code="unloadable",
        types=named,
        waiting=count,
    )
    return Finding(level=PROBLEM, subject=HANDLERS, text=text)


def _tell_put_back(said: dict[int, str]) -> Finding:
    """Report handlers that a worker could not load. During a deployment that is normal for a moment."""
    named = _named(sorted({message.rstrip(".") for message in said.values()}))
    text = say(
        "a worker could not load that of %(jobs)d jobs, which wait for one that can: %(reasons)s. Restart workers of "
        "an older release, or mend the import; after 10 minutes these jobs end as Dead Letters.",
        code="put_back",
        jobs=len(said),
        reasons=named,
    )
    return Finding(level=WARNING, subject=HANDLERS, text=text)


def _examine_permissions() -> Iterator[Finding]:
    """Yield a warning where only system admins and code may submit types, since nobody has the permission."""
    required = dict(
        JobType.primary.exclude(requires_permission="").order_by("pk").values_list("pk", "requires_permission")
    )
    unknown = set(unknown_permissions(required.values()))
    named = _named([f"{name} ({permission})" for name, permission in required.items() if permission in unknown])
    if named:
        text = say(
            "job types require some that do not exist, so that only system admins and code may submit them: %(types)s. "
            "Correct the names, or migrate their apps.",
            code="unknown_permission",
            types=named,
        )
        yield Finding(level=WARNING, subject=PERMISSIONS, text=text)


def _named(items: Sequence[str]) -> str:
    rest = len(items) - MAX_NAMED
    return ", ".join(items[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
