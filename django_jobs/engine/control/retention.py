"""Deleting what is old: jobs by the days of their types, and what the engine keeps for itself."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from django.db.models import Q

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.control import deletion, operations, switches
from django_jobs.engine.control.deletion import delete_rows
from django_jobs.engine.insight import rollups
from django_jobs.engine.job_types.declared_types import own_retention_days
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.submission import same_work
from django_jobs.models import Job, Worker

# Deleting jobs that ended long ago, set by set. Their files are deleted afterwards.


#: Jobs looked at and deleted at once.
BATCH: Final = 1_000


class _RetentionWalk(NamedTuple):
    """The jobs of one type by the moment of their end, behind the last one that was looked at."""

    job_type: str
    #: The column that tells when they ended.
    moment: str
    last: tuple[dt.datetime, int] | None = None

    def next_rows(self, cutoff: dt.datetime) -> list[tuple[dt.datetime, int]]:
        """Return when the next ones ended that ended before the cutoff, and their keys."""
        rows = Job.primary.filter(job_type_id=self.job_type).order_by(self.moment, "pk").values_list(self.moment, "pk")
        old = rows.filter(**{f"{self.moment}__lt": cutoff})
        if self.last is None:
            return list(old[:BATCH])
        moment, pk = self.last
        # Many may have ended at one moment. In two statements each is a range of the index.
        same = list(rows.filter(**{self.moment: moment, "pk__gt": pk})[:BATCH])
        return same + list(old.filter(**{f"{self.moment}__gt": moment})[: BATCH - len(same)])


class Pruner:
    """Deletes jobs that ended long ago, in passes over all types, whose jobs go in turn.

    An index has the jobs of each type in the order of their ends. So a pass passes no job that is young, and of the old
    ones by only those that must stay. ``days`` take the place of RETENTION_DAYS, not of what a type says.
    """

    def __init__(self, days: float | None = None) -> None:
        self._days = days
        #: What is left of the pass.
        self._walks: deque[_RetentionWalk] = deque()
        #: By how many seconds a job that this pass deleted was older than it had to be, at most.
        self._behind = 0.0
        self._refused: set[int] = set()
        self._tries_refused_at = 0.0

    @property
    def is_through(self) -> bool:
        """Whether the last call came to the end of a pass; the next one begins a new pass then."""
        return not self._walks

    def rest(self) -> float:
        """Return for how long to rest after a second of work: one second, and the less the further this is behind.

        So it keeps up with any number of jobs that it can delete at all, some minutes late where these are many.
        """
        return max(
            timing.RETENTION_REST_SECONDS,
            min(1.0, timing.RETENTION_PAUSE_SECONDS / max(timing.RETENTION_PAUSE_SECONDS, self._behind)),
        )

    def prune(self, seconds: float) -> int:
        """Delete old jobs until the end of the pass, for so many seconds; return how many."""
        until, total = time.monotonic() + seconds, 0
        own_days = own_retention_days()
        if self.is_through:
            self._begin_pass()
        while self._walks:
            total += self._delete_next(self._walks.popleft(), own_days)
            if time.monotonic() >= until:
                break
        if self.is_through:
            self._behind = 0.0
        return total

    def _begin_pass(self) -> None:
        for moment in ("completed_at", "canceled_at"):
            self._walks.extend(_RetentionWalk(name, moment) for name in _types_of_ended(moment))
        if time.monotonic() >= self._tries_refused_at:
            self._refused.clear()

    def _delete_next(self, walk: _RetentionWalk, own_days: Mapping[str, int]) -> int:
        """Delete the next jobs of a type that are old, and return how many; where there may be more, go on in turn."""
        days = self._days if self._days is not None else float(jobs_settings.RETENTION_DAYS)
        cutoff = database.now() - dt.timedelta(days=own_days.get(walk.job_type, days))
        with store().following_keys():
            rows = walk.next_rows(cutoff)
        if len(rows) == BATCH:
            self._walks.append(walk._replace(last=rows[-1]))
        pks = [pk for _, pk in rows if pk not in self._refused]
        if not pks:
            return 0
        deleted = delete_rows(pks, ended_before=cutoff)
        if deleted.refused and not self._refused:
            self._tries_refused_at = time.monotonic() + timing.RETENTION_REFUSED_SECONDS
        self._refused.update(deleted.refused)
        if deleted.job_ids:
            self._behind = max(self._behind, (cutoff - rows[0][0]).total_seconds())
        return len(deleted.job_ids)


def _types_of_ended(moment: str) -> Iterator[str]:
    """Yield the types of the jobs that have this moment, one step of the index each, also types that are gone."""
    ended = Job.primary.filter(**{f"{moment}__isnull": False}).order_by("job_type_id", moment, "pk")
    name: str | None = ""
    while (name := ended.filter(job_type_id__gt=name).values_list("job_type_id", flat=True).first()) is not None:
        yield name


# Deleting what the engine keeps for itself: activity, operations, workers.


def forget_activity() -> int:
    """Delete old sums of the activity, and old operations; return how many rows went."""
    return rollups.forget_old() + operations.forget_old()


def forget_workers() -> int:
    """Delete the announcements of workers that were silent for two minutes, and what was ordered those that are gone.

    Returns how many rows went.
    """
    now, silence = database.now(), dt.timedelta(seconds=timing.WORKER_FORGOTTEN_SECONDS)
    # The last sign of one that died before the clock was set back is still to come.
    silent = Q(last_seen__lt=now - silence) | Q(last_seen__gt=now + silence)
    return Worker.primary.filter(silent).delete()[0] + switches.forget_old_orders()


# The duties that delete what is old. They may take long, and so have threads and connections of their own.
#
# Many jobs end and grow old in every second, and a storage of files may be slow or hang: neither may delay the duties
# by which jobs run. Only the leading scheduler does it. If two did it at once, each would leave out what the other
# holds.


logger = logging.getLogger("django_jobs")


Step = Callable[[], int]


class Sweeps:
    """The sweeps of one scheduler, each with its own pause once it has come to its end."""

    def __init__(self) -> None:
        self._pruner, files = Pruner(), deletion.FileSweep()
        #: A step of each sweep by its name; it returns how much it deleted, 0 where nothing is left.
        self.steps: Final[dict[str, Step]] = {
            "prune": _pausing(self._pruner, self._pruner.prune, timing.RETENTION_PAUSE_SECONDS),
            "delete_files": _pausing(files, files.step, timing.FILE_RETRY_SECONDS),
            "forget_duplicates": lambda: same_work.forget_expired_keys(timing.SWEEP_STEP_SECONDS),
        }

    def turn(self, name: str) -> tuple[int, float]:
        """Do one step of a sweep; return how much it deleted, and for how many seconds to rest.

        A rest as long as the step takes half of one connection.
        """
        started = time.monotonic()
        count = self.steps[name]()
        took = time.monotonic() - started if count else 0.0
        rest = self._pruner.rest() if name == "prune" else 1.0
        return count, took * rest or float(jobs_settings.SCHEDULER_INTERVAL)


def _pausing(sweep: Pruner | deletion.FileSweep, step: Callable[[float], int], pause: float) -> Step:
    """Return a step that does nothing for so many seconds once the sweep has come to its end."""
    begins_at = 0.0

    def do() -> int:
        nonlocal begins_at
        if time.monotonic() < begins_at:
            return 0
        count = step(timing.SWEEP_STEP_SECONDS)
        if sweep.is_through:
            begins_at = time.monotonic() + pause
        return count

    return do
