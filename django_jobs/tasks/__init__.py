"""The backend of Django's task interface: functions with ``@task`` run as jobs.

``JobsBackend`` is what ``TASKS`` names. ``task_options`` says of a function what its jobs need, where ``@task`` itself
takes no more keywords. Importing this needs Django 6.0, or the package ``django-tasks`` (the extra ``tasks``), but no
app registry, since ``@task`` stands at the top of modules.
"""

from __future__ import annotations

from django_jobs.tasks.backend import JobsBackend
from django_jobs.tasks.declaring import JobTask, task_options

__all__ = ["JobTask", "JobsBackend", "task_options"]
