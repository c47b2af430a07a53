"""Durable background jobs for multi-tenant Django.

The public names load on first use, so that ``import django_jobs`` needs neither settings nor the app registry.

Where things are: ``statuses`` has the statuses, their arrows and the named sets of them; ``values`` what host code
gets back, first of all ``JobStatus``; ``models`` what is stored; ``engine`` the rules; ``broker`` and ``worker`` run
jobs; ``realtime``, ``api``, ``admin`` and ``management`` are the edges; ``checks`` finds wrong settings, and
``testing`` is for a host's tests.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from django_jobs.engine.access import AccessPolicy as AccessPolicy
    from django_jobs.engine.asynchronous import (
        acancel_batch as acancel_batch,
        acancel_job as acancel_job,
        acreate_batch as acreate_batch,
        aget_batch_status as aget_batch_status,
        aget_job_status as aget_job_status,
        aretry_batch as aretry_batch,
        aschedule_job as aschedule_job,
        asubmit_job as asubmit_job,
        aunschedule as aunschedule,
        await_job as await_job,
    )
    from django_jobs.engine.batches import create_batch as create_batch, get_batch_status as get_batch_status
    from django_jobs.engine.control.acts import cancel_job as cancel_job, retry_job as retry_job
    from django_jobs.engine.control.batches import cancel_batch as cancel_batch, retry_batch as retry_batch
    from django_jobs.engine.execution.context import JobContext as JobContext, ResultReference as ResultReference
    from django_jobs.engine.insight.metrics import get_job_metrics as get_job_metrics
    from django_jobs.engine.insight.status import (
        get_job_history as get_job_history,
        get_job_status as get_job_status,
        list_jobs as list_jobs,
        wait_for_job as wait_for_job,
    )
    from django_jobs.engine.job_types.types import job_handler as job_handler
    from django_jobs.engine.schedules.definitions import schedule_job as schedule_job, unschedule as unschedule
    from django_jobs.engine.schedules.timetable import every as every, next_runs as next_runs
    from django_jobs.engine.submission.submit import (
        submit_for_each as submit_for_each,
        submit_job as submit_job,
        submit_jobs as submit_jobs,
    )
    from django_jobs.exceptions import (
        JobCanceled as JobCanceled,
        PermanentError as PermanentError,
        RetryLater as RetryLater,
        TransientError as TransientError,
    )
    from django_jobs.models.organization import get_organization_model as get_organization_model
    from django_jobs.statuses import Priority as Priority, Status as Status
    from django_jobs.values import BatchStatus as BatchStatus, JobStatus as JobStatus

#: The module of each public name.
_HOMES = {
    name: f"django_jobs.{module}"
    for module, names in {
        "engine.access": ("AccessPolicy",),
        "engine.asynchronous": (
            "acancel_batch",
            "acancel_job",
            "acreate_batch",
            "aget_batch_status",
            "aget_job_status",
            "aretry_batch",
            "aschedule_job",
            "asubmit_job",
            "aunschedule",
            "await_job",
        ),
        "engine.batches": ("create_batch", "get_batch_status"),
        "engine.control.acts": ("cancel_job", "retry_job"),
        "engine.control.batches": ("cancel_batch", "retry_batch"),
        "engine.execution.context": ("JobContext", "ResultReference"),
        "engine.insight.metrics": ("get_job_metrics",),
        "engine.insight.status": ("get_job_history", "get_job_status", "list_jobs", "wait_for_job"),
        "engine.job_types.types": ("job_handler",),
        "engine.schedules.definitions": ("schedule_job", "unschedule"),
        "engine.schedules.timetable": ("every", "next_runs"),
        "engine.submission.submit": ("submit_for_each", "submit_job", "submit_jobs"),
        "exceptions": ("JobCanceled", "PermanentError", "RetryLater", "TransientError"),
        "models.organization": ("get_organization_model",),
        "statuses": ("Priority", "Status"),
        "values": ("BatchStatus", "JobStatus"),
    }.items()
    for name in names
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except Exception as error:
        if type(error).__name__ != "AppRegistryNotReady":  # by its name: Django need not be imported for it
            raise
        if name == "JobContext":
            return _EarlyClass(name, (), {"__module__": __name__, "__doc__": f"See {_HOMES[name]}.{name}."})
        if name[0].isupper():
            raise type(error)(
                f"django_jobs.{name} can be imported once the apps are ready: not in an apps.py or __init__.py, but in "
                "a module that those do not import, in AppConfig.ready(), or under `if TYPE_CHECKING:` for a type."
            ) from error
        return _early(name)


class _EarlyClass(type):
    """A class in the place of one that cannot be imported before the apps are ready: for annotations and isinstance."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, getattr(import_module(_HOMES[cls.__name__]), cls.__name__))


def _early(name: str) -> Any:
    """A function in the place of one that cannot be imported before the apps are ready; it looks when it is called."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(_HOMES[name]), name)(*args, **kwargs)

    async def async_stand_in(*args: Any, **kwargs: Any) -> Any:
        return await getattr(import_module(_HOMES[name]), name)(*args, **kwargs)

    function = async_stand_in if _HOMES[name].endswith(".asynchronous") else stand_in
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"See {_HOMES[name]}.{name}; this was imported before the apps were ready."
    return function
