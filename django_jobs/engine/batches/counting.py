"""Adding up the counts of batches, and seeing that one has ended.

Whatever moves a job of a batch into or out of a status that counts leaves a :class:`BatchChange` in the same
transaction. So those whose jobs end at once do not wait for each other, and no change is lost or counted twice. Changes
are added to the batch's row, under its lock, and deleted: once a second by the scheduler, and after a commit with which
the batch may have ended.

A batch ends when it is closed and all its jobs have ended. The transaction that sees this submits ``then`` or
``on_failure`` (``endings``), so that each is submitted once whatever dies. A change of nothing notes that a batch is to
be looked at again.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db.models import F, Q, Sum

from django_jobs.engine.access import beside
from django_jobs.engine.batches import endings
from django_jobs.engine.batches.pace import Pace
from django_jobs.engine.deadlines import Late
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.transitions import hooks
from django_jobs.models import Batch, BatchChange

logger = logging.getLogger("django_jobs")

#: Batches that one transaction looks at.
AT_ONCE: Final = 200
#: Changes that one tick of the scheduler reads, and for how long it works on them.
READ_AT_ONCE: Final = 5_000
TICK_SECONDS: Final = 0.5
#: After this time it is tried again to submit what follows a batch, where that was refused for now.
WAITING: Final = dt.timedelta(seconds=10)

_pace = Pace()


def after_commit(moved: Mapping[int, int]) -> None:
    """End batches whose last jobs ended just now: how many jobs moved, by the batch's key.

    Never raises: the scheduler looks again.
    """
    due = _pace.due(moved)
    if due:
        _look(due)


def count_waiting() -> int:
    """Look at the batches that could wait, where their time has come; return at how many. Never raises."""
    due = _pace.waiting()
    return _look(due) if due else 0


def in_tick() -> int:
    """Add up the batches of which somebody left changes, for TICK_SECONDS; return how many were written."""
    until = time.monotonic() + TICK_SECONDS
    due = BatchChange.primary.filter(changed_at__lte=database.now()).order_by("pk")
    pks = list(dict.fromkeys(due.values_list("batch_id", flat=True)[:READ_AT_ONCE]))
    total = 0
    for some in _portions(pks):
        _forget_changes(some)
        total += _count(some, only_ends=False)
        if time.monotonic() >= until:
            break
    return total


def _forget_changes(pks: Sequence[int]) -> None:
    """Delete what is noted of batches that were deleted: their jobs may end after them."""
    gone = set(pks) - set(Batch.primary.filter(pk__in=pks).values_list("pk", flat=True))
    if gone:
        BatchChange.primary.filter(batch_id__in=gone).delete()


def _look(pks: Sequence[int]) -> int:
    try:
        for some in _portions(pks):
            _count(some, only_ends=True)
    except Exception as error:  # noqa: BLE001  (the caller has committed what it wanted; a policy may have failed)
        logger.warning("event=batches_not_counted error=%r", error)
        _pace.put_off(pks)
    return len(pks)


def _portions(pks: Sequence[int]) -> Iterator[Sequence[int]]:
    return (pks[start : start + AT_ONCE] for start in range(0, len(pks), AT_ONCE))


def _count(pks: Sequence[int], *, only_ends: bool) -> int:
    """Add up those of these that may have ended, or all; return how many were written."""
    ending: dict[Any, list[int]] = defaultdict(list)
    for item in _look_at(pks):
        if item.may_end:
            ending[item.organization_pk].append(item.pk)
    others = [] if only_ends else sorted(set(pks).difference(*ending.values()))
    count = 0
    if others:
        count += len(database.in_transaction(functools.partial(_add_up_others, others)))
    # Tenant by tenant: what follows a batch asks the access policy, and may wait for a submission of the same work.
    for organization_pk, some in ending.items():
        try:
            count += len(beside(organization_pk, functools.partial(_end_all, some)))
        except Late:
            _pace.put_off(some)
    return count


class _Seen(NamedTuple):
    """A batch as it was seen without a lock: how many of its jobs have not ended."""

    pk: int
    organization_pk: Any
    left: int
    #: Whether its last end is its own: it is closed, and none of its jobs is to be retried still.
    is_complete: bool

    @property
    def may_end(self) -> bool:
        return self.is_complete and self.left <= 0


def _look_at(pks: Sequence[int]) -> list[_Seen]:
    """Look at these batches, and note how far from their ends they are.

    The rows are read before the changes: whoever adds up in between sees all that is missing here.
    """
    ended = F("completed") + F("canceled") + F("dead_letter")
    rows = Batch.primary.filter(pk__in=pks).order_by().annotate(left=F("total") - ended)
    is_complete = Q(closed_at__isnull=False, retry_position__isnull=True)
    seen = list(rows.annotate(is_complete=is_complete).values_list("pk", "organization_id", "left", "is_complete"))
    grouped: Any = BatchChange.primary.filter(batch_id__in=pks).order_by().values_list("batch_id")
    changes = dict(grouped.annotate(left=Sum(F("total") - ended)))
    found = [_Seen(pk, of, left + changes.get(pk, 0), is_complete) for pk, of, left, is_complete in seen]
    _pace.note({item.pk: item.left if item.is_complete else None for item in found})
    return found


def _end_all(pks: Sequence[int]) -> list[Batch]:
    endings.ask_ahead(pks)
    return database.in_transaction(functools.partial(_end_owned, pks))


def _end_owned(pks: Sequence[int]) -> list[Batch]:
    """Add up and end batches to which nobody adds a job at this moment, nor will before the transaction ends."""
    owned = store().own_batches(sorted(pks))
    _pace.put_off(set(pks) - set(owned))
    return _write(owned, database.now(), are_owned=True)


def _add_up_others(pks: Sequence[int]) -> list[Batch]:
    free = list(database.locked(Batch.primary.filter(pk__in=pks), skip=True).values_list("pk", flat=True))
    return _write(free, database.now(), are_owned=False)


def add_up_owned(batch: Batch) -> Batch:
    """Add up a batch whose row the open transaction has locked against everybody; return it as it is then.

    A transaction that does not see what others committed meanwhile cannot know its counts, and leaves them as they are.
    """
    if store().has_old_view():
        return batch
    _write([batch.pk], database.now(), are_owned=True)
    return Batch.primary.get(pk=batch.pk)


def end_owned(batch: Batch) -> Batch:
    """End a batch that was added up and changed just now, if it has ended, or try again to submit what follows it.

    Return it as it is then. After a transaction that could not add it up, somebody looks again.
    """
    if store().has_old_view():
        look_again(batch)
    elif _may_end(batch) and (batch.completed_at is None or batch.fault):
        _end([batch], database.now())
    hooks.announcer().batches_counted({batch.pk: batch.organization_id})
    return Batch.primary.get(pk=batch.pk)


def look_again(batch: Batch) -> None:
    """Have somebody look at the batch once the open transaction is committed: it may have ended."""
    _remind([batch], database.now())
    database.on_commit(lambda: after_commit({batch.pk: 0}))


def _write(pks: Sequence[int], now: dt.datetime, *, are_owned: bool) -> list[Batch]:
    """Add up these batches, whose rows the open transaction has locked, and return those that changed.

    Those that may be ended only by somebody who owns them are to be looked at again.
    """
    written = store().add_up_batches(pks, now) if pks else []
    ending = [batch for batch in written if _may_end(batch)]
    if are_owned:
        _end(ending, now)
    else:
        _remind(ending, now)
    # A job of one that had ended was retried.
    revived = [batch.pk for batch in written if batch.completed_at is not None and batch not in ending]
    if revived:
        Batch.primary.filter(pk__in=revived).update(completed_at=None)
    hooks.announcer().batches_counted({batch.pk: batch.organization_id for batch in written})
    return written


def _may_end(batch: Batch) -> bool:
    """Return whether all its jobs have ended, and none is to be retried still."""
    return batch.closed_at is not None and batch.retry_position is None and batch.ended >= batch.total


def _end(batches: Sequence[Batch], now: dt.datetime) -> None:
    """End these batches and submit what follows them. Where that must wait, it is tried again later."""
    # One that ended before, and of which only what follows must wait, keeps its moment.
    new = [batch for batch in batches if batch.completed_at is None or not batch.fault]
    for batch in new:
        batch.completed_at = now
    if new:
        Batch.primary.filter(pk__in=[batch.pk for batch in new]).update(completed_at=now)
    waiting = [batch for batch in batches if not endings.follow(batch)]
    _remind(waiting, now + WAITING)
    for batch in new:
        level = logging.WARNING if batch.fault else logging.INFO
        text = "batch_id=%s event=batch_ended state=%s total=%s organization=%s %s"
        logger.log(level, text, batch.batch_id, batch.state, batch.total, batch.organization_name, batch.fault)
    _pace.forget(batch.pk for batch in batches)


def _remind(batches: Sequence[Batch], at: dt.datetime) -> None:
    """Have these looked at again, from that moment on."""
    BatchChange.primary.bulk_create([BatchChange(batch_id=batch.pk, changed_at=at) for batch in batches])
