"""What follows a change: the parts above this one that want to hear of it register here, in :mod:`django_jobs.apps`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from django_jobs.engine.actors import Actor
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.store.transition_values import Moved
from django_jobs.models import Job


class Announcer(Protocol):
    """Tells the world what happened to jobs; all but ``progressed`` and ``refused`` wait for the commit."""

    def submitted(self, *jobs: Job, log_ids: Sequence[int] = ()) -> None:
        """Tell of new jobs; ``log_ids`` are the ids of their first Execution Log rows, in the same order."""

    def replaced(self, job: Job, actor: Actor) -> None:
        """Tell that a later submission took this job's place."""

    def changed(self, moved: Sequence[Moved], loudest: int = logging.CRITICAL) -> None:
        """Tell of changes of status. No log record is above the level ``loudest``."""

    def progressed(self, organizations: Mapping[int, Any]) -> None:
        """Tell that progress was written, of jobs by their keys; the values are their organizations' keys, or None."""

    def batches_counted(self, organizations: Mapping[int, Any]) -> None:
        """Tell that the counts of batches, by their keys, were written; the values are their organizations' keys."""

    def refused(self, claimed: Claimed, error: BaseException) -> None:
        """Tell of an error whose attempt had been taken away before it was stored."""


class _Hooks:
    announcer: Announcer
    follow_up: Callable[[], object]
    count_batches: Callable[[Mapping[int, int]], object]


_hooks = _Hooks()


def connect(
    announcer: Announcer,
    follow_up: Callable[[], object],
    count_batches: Callable[[Mapping[int, int]], object],
) -> None:
    """Register who tells the world of changes, who looks at the relatives of jobs that ended or began anew, and who
    adds up the counts of batches, by their keys.
    """
    _hooks.announcer, _hooks.follow_up, _hooks.count_batches = announcer, follow_up, count_batches


def announcer() -> Announcer:
    """Return who tells the world of changes."""
    return _hooks.announcer


def count_batches(moved: Mapping[int, int]) -> None:
    """Count what happened to batches, now or soon: how many jobs moved, by the batch's key. Never raises."""
    _hooks.count_batches(moved)


def follow_up() -> None:
    """Look at the relatives of jobs that left a task, now. Never raises."""
    _hooks.follow_up()
