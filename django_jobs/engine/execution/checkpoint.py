"""A handler's own note for its next attempt."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError, transaction

from django_jobs.engine.execution.work_notes import Notes
from django_jobs.engine.json_storage import NotStorable, encoded
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.step_values import Attempt
from django_jobs.exceptions import InvalidStep
from django_jobs.texts import said, say

if TYPE_CHECKING:
    from django_jobs.engine.execution.outcomes import Outcome

logger = logging.getLogger("django_jobs")

#: Of a checkpoint as JSON.
MAX_BYTES: Final = 65_536
WHAT: Final = "The checkpoint"


class Checkpoint:
    """A dict that the handler changes, and what of it is saved."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.value: Any = {}
        #: JSON of what is saved; None where that is not known.
        self._saved: str | None = "{}"
        self.is_read = not notes.may_have_more

    def read(self) -> None:
        """Read what is saved, unless that was done, or the handler has put another dict in its place."""
        if not self.is_read:
            self.value = self._notes.checkpoint()
            self._saved = self.text()
            self.is_read = True

    def replace(self, value: Any) -> None:
        """Put another dict in its place."""
        self._saved = self._saved if self.is_read else None
        self.is_read = True
        self.value = value

    def text(self) -> str:
        """Return JSON of the dict. Raises InvalidStep where it is none, or cannot be stored."""
        if not isinstance(self.value, dict):
            text = f"{WHAT} must stay a dict; it is %(type)s now."
            raise InvalidStep(say(text, code="not_a_dict", type=type(self.value).__name__))
        try:
            return encoded(self.value, WHAT, MAX_BYTES)[0]
        except NotStorable as error:
            raise InvalidStep(said(error)) from error

    def save(self, text: str) -> None:
        """Store what :meth:`text` returned. Raises AttemptLost."""
        self._notes.save_checkpoint(text)
        self._saved = text

    def require_commits(self) -> None:
        """Raise InvalidStep inside a transaction."""
        self._notes.require_commits(WHAT)

    def unsaved(self, job_id: str) -> str | None:
        """Return the JSON to be stored with the end of the attempt; None where nothing changed, or it cannot be."""
        if not self.is_read:
            return None
        try:
            text = self.text()
        except Exception as error:  # noqa: BLE001  (whatever is in the dict, the attempt's end must be stored)
            logger.warning("job_id=%s event=checkpoint_not_saved error=%r", job_id, error)
            return None
        return None if text == self._saved else text


def save_with_ends(ended: Iterable[Outcome]) -> None:
    """Save what handlers noted for their next attempts, in the transaction that locked their jobs' rows.

    One that the database refuses holds up no end.
    """
    for item in ended:
        if item.checkpoint is not None:
            attempt = Attempt(item.claimed.pk, item.claimed.attempt, item.claimed.worker_name)
            try:
                with transaction.atomic(using=database.alias()):
                    store().write_checkpoint(attempt, item.checkpoint)
            except DatabaseError as error:
                if database.is_lost_connection(error) or database.is_lost_race(error):
                    raise
                logger.warning("job_id=%s event=checkpoint_not_saved error=%r", item.claimed.job_id, error)
