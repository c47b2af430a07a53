"""Finding the task that a job type's handler names."""

from __future__ import annotations

import importlib
from typing import Any

from django_jobs.engine.job_types.handlers import TASK_PREFIX
from django_jobs.tasks.framework import InvalidTask, Task
from django_jobs.texts import say


def find(handler_method: str) -> Task[..., Any]:
    """Return the task that ``task:<path>``, or its path alone, names. Raises InvalidTask where there is none."""
    path = handler_method.removeprefix(TASK_PREFIX)
    if ":" in path:  # else another path would be followed than the one that was judged
        raise InvalidTask(say("%(path)r is not a dotted path of a task.", code="not_a_path", path=path))
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        text = say(
            "The task %(path)s cannot be loaded (%(kind)s: %(error)s).",
            code="not_loadable",
            path=path,
            kind=type(error).__name__,
            error=str(error),
        )
        raise InvalidTask(text) from error
    if not isinstance(found, Task):
        raise InvalidTask(say("%(path)s is no task: decorate the function with @task.", code="no_task", path=path))
    return found
