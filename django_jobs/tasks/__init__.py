"""The backend of Django's task interface: functions with ``@task`` run as jobs.

``JobsBackend`` is what ``TASKS`` names. ``task_options`` says of a function what its jobs need, where ``@task`` itself
takes no more keywords. Importing this needs Django 6.0, or the package ``django-tasks`` (the extra ``tasks``), but no
app registry: ``@task`` stands at the top of modules, and asks for the backend while they load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage

from django_jobs.tasks.declaring import JobTask, refuse_unknown_of_backend, task_options
from django_jobs.tasks.framework import BaseTaskBackend, Task, TaskResult, task_enqueued

__all__ = ["JobTask", "JobsBackend", "task_options"]


class JobsBackend(BaseTaskBackend):
    """Runs tasks as jobs. ``OPTIONS``: ``organization``, and fields of the Job Type as defaults for its tasks.

    ``organization`` is an id, or the dotted path of a function that returns an id or an instance; by default the
    organization of the running job, else the one of the setting SYSTEM_ORGANIZATION.
    """

    task_class = JobTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def enqueue(  # type: ignore[override]
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult[..., Any]:
        """Submit the task's job, in the caller's transaction where one is open, and return its result.

        Raises InvalidTask for what is wrong with the task, TypeError or ValueError for arguments that are no JSON, and
        what ``submit_job`` raises.
        """
        from django_jobs.tasks import enqueuing

        self.validate_task(task)
        refuse_unknown_of_backend(self.alias, self.options)
        result, is_new = enqueuing.enqueue(task, self.alias, args, kwargs, self.options)
        if is_new:
            task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult[..., Any]:
        """Return the result of this id, which is the job's.

        Raises TaskResultDoesNotExist for any other id, also that of a job which is none of this backend's tasks.
        """
        from django_jobs.tasks import results

        return results.read(result_id, self.alias)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Return what is wrong with the options."""
        from django_jobs.tasks.enqueuing import check_options

        return check_options(self.alias, self.options)
