"""Django's signals of tasks that started and finished, sent by the process that acted, after the commit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.dispatch import Signal

from django_jobs.engine.store.values import Moved
from django_jobs.statuses import Status
from django_jobs.tasks import results
from django_jobs.tasks.framework import TaskResult, TaskResultStatus, task_finished, task_started

logger = logging.getLogger("django_jobs")


def tell(moved: Sequence[Moved]) -> None:
    """Send the signals of tasks that began an attempt, or have ended for good. Their rows are read together."""
    found = results.by_key([item.pk for item in moved])
    for item in moved:
        if item.pk not in found:
            continue
        try:
            _tell(item, found[item.pk].result())
        except Exception as error:  # noqa: BLE001  (one task's fault, as a module that only workers have, is no other's)
            logger.warning("event=task_signal_not_sent job_id=%s error=%s", item.job_id, error)


def _tell(item: Moved, result: TaskResult[..., Any]) -> None:
    if item.to_status != Status.RUNNING:
        _send(task_finished, result, item.error)
        return
    object.__setattr__(result, "status", TaskResultStatus.RUNNING)  # it may have ended meanwhile
    object.__setattr__(result, "finished_at", None)
    _send(task_started, result, None)


def _send(signal: Signal, result: TaskResult[..., Any], error: BaseException | None) -> None:
    """Call the receivers; while the exception is handled that ended the task, as in Django's own backends."""
    sender = type(result.task.get_backend())
    if error is None:
        signal.send_robust(sender=sender, task_result=result)
        return
    traceback = error.__traceback__
    try:
        raise error
    except BaseException:  # noqa: BLE001  (whatever a task raises)
        signal.send_robust(sender=sender, task_result=result)
    finally:
        error.__traceback__ = traceback
