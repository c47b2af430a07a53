"""Where an attempt finds and leaves what its job has done: the rows of its steps and of its checkpoint."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from django.db import Error

from django_jobs.conf import jobs_settings
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.step_values import Attempt, NewStep, StoredStep
from django_jobs.exceptions import AttemptLost, InvalidStep
from django_jobs.texts import say

if TYPE_CHECKING:
    from django_jobs.engine.claimed_job import Claimed

T = TypeVar("T")

logger = logging.getLogger("django_jobs")

#: Stored steps that a later attempt reads at once.
PAGE: Final = 100
#: Between two tries of storing something while the database is away.
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Notes(Protocol):
    """What steps and checkpoints ask for. A test's context has one in memory."""

    #: Whether an earlier attempt may have left something.
    may_have_more: bool
    #: The handler's own thread; None where that makes no difference.
    thread: int | None

    def require_commits(self, what: str) -> None:
        """Raise InvalidStep where what is stored now would not be committed at once."""

    def steps_from(self, position: int) -> list[StoredStep]:
        """Return the first PAGE stored steps of this position and later ones, in their order."""

    def store_step(self, step: NewStep) -> Any:
        """Store a step, and return its result as later attempts will read it. Raises AttemptLost."""

    def checkpoint(self) -> dict[str, Any]:
        """Return the checkpoint that was saved last."""

    def save_checkpoint(self, data: str) -> None:
        """Store JSON as the checkpoint. Raises AttemptLost."""


class DatabaseNotes(Notes):
    """The notes of a job that runs. To be made in the thread, and at the moment, in which its handler begins."""

    def __init__(self, claimed: Claimed) -> None:
        self._attempt = Attempt(claimed.pk, claimed.attempt, claimed.worker_name)
        self.may_have_more = claimed.attempt > 1
        self.thread = threading.get_ident()
        #: Open when the handler begins: a test's transactions, which take the place of commits there.
        self._depth = _open_blocks()

    def require_commits(self, what: str) -> None:
        if _open_blocks() > self._depth or _commits_nothing():
            text = (
                "%(what)s cannot be stored inside an open transaction: it would be lost if that rolls back, and would "
                "hold the job's row until it ends. Leave the atomic block first, or open it inside the step's function."
            )
            raise InvalidStep(say(text, code="in_transaction", what=what))

    def steps_from(self, position: int) -> list[StoredStep]:
        from django_jobs.models import JobStep

        rows = JobStep.primary.filter(job_id=self._attempt.pk, position__gte=position).order_by("position")
        return [StoredStep(*row) for row in rows.values_list(*StoredStep._fields)[:PAGE]]

    def store_step(self, step: NewStep) -> Any:
        stored = _insisting(lambda: store().insert_step(self._attempt, step))
        if stored is None:
            raise AttemptLost
        return stored.result

    def checkpoint(self) -> dict[str, Any]:
        from django_jobs.models import JobCheckpoint

        found = JobCheckpoint.primary.filter(pk=self._attempt.pk).values_list("data", flat=True).first()
        return found if isinstance(found, dict) else {}

    def save_checkpoint(self, data: str) -> None:
        if not _insisting(lambda: store().save_checkpoint(self._attempt, data)):
            raise AttemptLost


class MemoryNotes(Notes):
    """The notes of a context that belongs to no job."""

    may_have_more = True
    thread = None

    def __init__(self, steps: Mapping[str, Any] | None = None, checkpoint: Mapping[str, Any] | None = None) -> None:
        """``steps`` are the results of those that an earlier attempt has done, by name and in their order."""
        self.steps = [StoredStep(place, *step) for place, step in enumerate((steps or {}).items(), start=1)]
        self.saved = dict(checkpoint or {})
        #: Whether another worker has the job by now.
        self.is_lost = False

    def require_commits(self, what: str) -> None:
        """Nothing is committed here."""

    def steps_from(self, position: int) -> list[StoredStep]:
        return [step for step in self.steps if step.position >= position][:PAGE]

    def store_step(self, step: NewStep) -> Any:
        self._require_job()
        self.steps.append(StoredStep(step.position, step.name, json.loads(step.result), step.digest))
        return json.loads(step.result)

    def checkpoint(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.saved))  # type: ignore[no-any-return]

    def save_checkpoint(self, data: str) -> None:
        self._require_job()
        self.saved = json.loads(data)

    def _require_job(self) -> None:
        if self.is_lost:
            raise AttemptLost


def _open_blocks() -> int:
    return len(database.connection().atomic_blocks)


def _commits_nothing() -> bool:
    """Return whether the handler has taken the commits of this thread's connection into its own hands."""
    item = database.connection()
    return item.connection is not None and not item.in_atomic_block and not item.autocommit


def _insisting(function: Callable[[], T]) -> T:
    """Return what the function stored. While the database is away it is tried for as long as a lease can last.

    What is to be stored has happened: without it, the next attempt would do it again. After that time nobody can say
    whether the attempt still owns its job. In a transaction, which is a test's, there is one try.
    """
    deadline, pause = time.monotonic() + float(jobs_settings.LEASE_SECONDS), FIRST_PAUSE
    while True:
        try:
            return function()
        except Error as error:
            passes = database.is_lost_connection(error) or database.is_lost_race(error)
            if not passes or database.connection().in_atomic_block:
                raise
            if time.monotonic() + pause > deadline:
                raise AttemptLost from error
            logger.warning("event=step_delayed error=%r", error)
            database.mend_connections()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
