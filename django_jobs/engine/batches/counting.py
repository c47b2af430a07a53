"""Adding up the counts of batches, and seeing that one has ended.

Whatever moves a job of a batch into or out of a status that counts leaves a :class:`BatchChange` in the same
transaction. So those whose jobs end at once do not wait for each other, and no change is lost or counted twice. After
the commit, and by the scheduler where somebody died between, the changes are added to the batch's row under its lock
and deleted. That happens twice a second at most, or at once where it may be the end.

A batch ends when it is closed and all its jobs have ended. The transaction that sees this submits ``then`` or
``on_failure`` (``endings``), so that each is submitted once whatever dies.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from django.db.models import Sum

from django_jobs.engine.batches import endings
from django_jobs.engine.batches.pace import Pace
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.transitions import hooks
from django_jobs.models import Batch, BatchChange
from django_jobs.models.batch import COUNTED

logger = logging.getLogger("django_jobs")

#: The counts of a batch and of a change.
COUNTS: Final = ("total", *COUNTED.values())
#: Batches that one transaction looks at.
AT_ONCE: Final = 200
#: Seconds between two additions to one batch that goes on; live pages are told of each.
PAUSE: Final = dt.timedelta(seconds=0.5)
_WRITTEN: Final = (
    *COUNTS,
    *("started_at", "completed_at", "counted_at", "then_job_id", "on_failure_job_id", "fault"),
)

_pace = Pace()


def after_commit(pks: Collection[int | None]) -> None:
    """Look at batches whose jobs moved just now, unless it can wait. Never raises: the scheduler looks again."""
    due = _pace.due(pk for pk in pks if pk is not None)
    if due:
        _look(due)


def count_waiting() -> int:
    """Look at the batches that could wait, where their time has come; return at how many. Never raises."""
    due = _pace.waiting()
    return _look(due) if due else 0


def in_tick() -> int:
    """Look at every batch of which somebody left changes; for the scheduler. Return how many were counted."""
    changed = BatchChange.primary.order_by().values_list("batch_id", flat=True).distinct()
    found = list(changed[: 10 * AT_ONCE])
    return sum(len(add_up(worth)) for some in _portions(found) if (worth := _worth_it(some)))


def _look(pks: Sequence[int]) -> int:
    try:
        for some in _portions(pks):
            worth = _worth_it(some)
            if worth:
                add_up(worth)
    except Exception as error:  # noqa: BLE001  (the caller has committed what it wanted; a policy may have failed)
        logger.warning("event=batches_not_counted error=%r", error)
        _pace.put_off(pks)
    return len(pks)


def _portions(pks: Sequence[int]) -> Iterator[Sequence[int]]:
    return (pks[start : start + AT_ONCE] for start in range(0, len(pks), AT_ONCE))


def _worth_it(pks: Sequence[int]) -> list[int]:
    """Return those of these that may have ended, or were counted some time ago. Nothing is locked.

    The rows are read before the changes: whoever adds up in between sees all that is missing here.
    """
    now = database.now()
    rows = {batch.pk: batch for batch in Batch.primary.filter(pk__in=pks)}
    grouped: Any = BatchChange.primary.filter(batch_id__in=pks).order_by().values_list("batch_id")
    sums = {pk: counts for pk, *counts in grouped.annotate(*map(Sum, COUNTS))}
    worth = []
    for pk in sums.keys() & rows.keys():
        batch = rows[pk]
        for name, count in zip(COUNTS, sums[pk], strict=True):
            setattr(batch, name, getattr(batch, name) + count)
        _pace.note(pk, batch.total - batch.ended if batch.closed_at is not None else None)
        if _may_end(batch) or _has_revived(batch) or batch.counted_at is None or now - batch.counted_at >= PAUSE:
            worth.append(pk)
        else:
            _pace.put_off([pk])
    return worth


def add_up(pks: Collection[int]) -> list[Batch]:
    """Add up what is left of these batches, but for those that somebody holds; return those that were written."""
    return database.in_transaction(functools.partial(_add_up, sorted(pks)))


def _add_up(pks: Sequence[int]) -> list[Batch]:
    rows = list(database.locked(Batch.primary.filter(pk__in=pks), skip=True))
    _pace.put_off(set(pks) - {batch.pk for batch in rows})
    return count_locked(rows)


def count_locked(batches: Sequence[Batch], *, also_unchanged: bool = False) -> list[Batch]:
    """Add up these batches, whose rows the open transaction has locked, and end those that have ended.

    Return those that were written: those with changes, or all with ``also_unchanged``.
    """
    now = database.now()
    tallies = {batch.pk: _Tally(batch) for batch in batches}
    _read(tallies)
    ending = {pk: tally for pk, tally in tallies.items() if _may_end(tally.batch)}
    if ending:
        owned = store().own_batches(sorted(ending))
        _read({pk: ending[pk] for pk in owned})  # somebody may have added a job until it was owned
        for pk in ending:
            if pk not in owned or (_may_end(tallies[pk].batch) and not endings.end(tallies[pk].batch, now)):
                del tallies[pk]  # the next look decides
    counted = [tally for tally in tallies.values() if tally.changes or also_unchanged]
    _write(counted, now)
    return [tally.batch for tally in counted]


class _Tally:
    """A batch with the changes that are added to it."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.changes: set[int] = set()

    def add(self, change: BatchChange) -> None:
        """Add a change, unless that was done."""
        if change.pk in self.changes:
            return
        self.changes.add(change.pk)
        for name in COUNTS:
            setattr(self.batch, name, getattr(self.batch, name) + getattr(change, name))
        started = (moment for moment in (self.batch.started_at, change.started_at) if moment is not None)
        self.batch.started_at = min(started, default=None)


def _read(tallies: dict[int, _Tally]) -> None:
    """Add the changes that can be seen."""
    for change in BatchChange.primary.filter(batch_id__in=list(tallies)) if tallies else ():
        tallies[change.batch_id].add(change)


def _may_end(batch: Batch) -> bool:
    return batch.completed_at is None and batch.closed_at is not None and batch.ended >= batch.total


def _has_revived(batch: Batch) -> bool:
    """Return whether a job of a batch that had ended was retried."""
    return batch.completed_at is not None and batch.ended < batch.total


def _write(counted: Sequence[_Tally], now: dt.datetime) -> None:
    if not counted:
        return
    for tally in counted:
        batch = tally.batch
        batch.counted_at = now
        if _has_revived(batch):
            batch.completed_at = None
    Batch.primary.bulk_update([tally.batch for tally in counted], _WRITTEN)
    changes = [pk for tally in counted for pk in tally.changes]
    BatchChange.primary.filter(pk__in=changes)._raw_delete(database.alias())  # noqa: SLF001
    hooks.announcer().batches_counted({tally.batch.pk: tally.batch.organization_id for tally in counted})
    _pace.forget(tally.batch.pk for tally in counted if tally.batch.completed_at is not None)
