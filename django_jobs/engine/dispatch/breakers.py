"""How many jobs of the types whose breakers are not closed may be queued; for the dispatcher, under its lock.

Whether a pool, the window or a limit lets such a job go is not decided here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, Value
from django.db.models.functions import Coalesce

from django_jobs.engine.dispatch import breaker_rules
from django_jobs.engine.dispatch.breaker_rules import RECOVERY_SECONDS, Limits
from django_jobs.engine.store import database
from django_jobs.engine.store.database import SET_BACK
from django_jobs.models import Breaker, Job, JobType
from django_jobs.statuses import BreakerState, Status


def may_hold(kind: JobType) -> bool:
    """Return whether jobs of the type may be held. Then a new one must not be queued without the dispatcher."""
    return kind.breaker_failures > 0


@dataclass(slots=True)
class Held:
    """The breakers that were not closed at a moment of the database, by job type."""

    now: dt.datetime | None = None
    rows: dict[str, Breaker] = field(default_factory=dict)

    def more_allowed(self, in_flight: Mapping[str, int]) -> dict[str, int]:
        """Return how many more jobs of each of these types may be queued now; a type that is not named has no bound.

        That are types of which all organizations are held. ``in_flight`` is how many jobs of a type are queued or
        running. While a breaker is open, what was let go before it opened may still run, and a try may hang. So a try
        goes whenever it is time, unless an earlier one waits for a worker still.
        """
        of_all = {pk: row for pk, row in self.rows.items() if row.organization_id is None}
        return {pk: self._more(row, in_flight.get(pk, 0)) for pk, row in of_all.items()}

    def more_allowed_of_one(self, in_flight: Mapping[tuple[Any, str], int]) -> dict[tuple[Any, str], int]:
        """Return the same by organization and type, where one organization is held alone."""
        of_one = {(row.organization_id, pk): row for pk, row in self.rows.items() if row.organization_id is not None}
        return {key: self._more(row, in_flight.get(key, 0)) for key, row in of_one.items()}

    def may_try(self, job_type: str, organization_pk: Any) -> bool:
        """Return whether a job of this type and organization tries, if it goes while the breaker is open."""
        return job_type in self.rows and breaker_rules.holds(self.rows[job_type], organization_pk)

    def _more(self, row: Breaker, in_flight: int) -> int:
        if self.now is None or not _is_open_to_jobs(row.job_type):
            return 0
        if row.state == BreakerState.RECOVERING:
            return max(0, breaker_rules.most_at_once(row, self.now) - in_flight)
        return int(breaker_rules.is_time_to_try(row, limits_of(row.job_type), self.now) and not _is_try_queued(row))

    def next_change(self) -> float | None:
        """Return after how many seconds more jobs may go than now, if nothing else happens; None if no more ever do."""
        if self.now is None:
            return None
        rows = [row for row in self.rows.values() if _is_open_to_jobs(row.job_type)]
        changes = [breaker_rules.seconds_to_change(row, self.now) for row in rows]
        return min([seconds for seconds in changes if seconds > 0], default=None)

    def note_tries(self, picked: Mapping[str, int]) -> None:
        """Write when the next job may try, of each open breaker of whose type one or more were picked to be queued."""
        for pk in sorted(pk for pk, count in picked.items() if count and pk in self.rows):
            row = self.rows[pk]
            if row.state == BreakerState.OPEN and self.now is not None:
                row.next_try_at = self.now + dt.timedelta(seconds=row.job_type.breaker_pause)
                since = row.tries_since = row.tries_since or self.now
                open_rows = Breaker.primary.filter(pk=pk, state=BreakerState.OPEN, opened_at=row.opened_at)
                open_rows.update(next_try_at=row.next_try_at, tries_since=Coalesce("tries_since", Value(since)))


def read_held(*, closes: bool = True) -> Held:
    """Return the breakers that are not closed. Close those that have recovered, or were switched off.

    Without ``closes`` nothing is written: for somebody who only wants to know.
    """
    rows = list(Breaker.primary.exclude(state=BreakerState.CLOSED).select_related("job_type").order_by("pk"))
    if not rows:
        return Held()
    now = database.now()
    over = {row.pk for row in rows if not is_holding(row, now)}
    if over and closes:
        _close(over, now)
    return Held(now, {row.pk: row for row in rows if row.pk not in over})


def is_holding(row: Breaker, now: dt.datetime) -> bool:
    """Return whether jobs of the type wait for this breaker."""
    return may_hold(row.job_type) and breaker_rules.state_of(row, now) != BreakerState.CLOSED


def limits_of(kind: JobType) -> Limits:
    """Return what the type says of its breaker."""
    return Limits(failures=kind.breaker_failures, pause=kind.breaker_pause)


def _close(pks: set[str], now: dt.datetime) -> None:
    """Close these, unless they were opened again meanwhile."""
    since = now - dt.timedelta(seconds=RECOVERY_SECONDS)
    has_recovered = Q(state=BreakerState.RECOVERING) & (
        Q(recovering_since__lte=since) | Q(recovering_since__gt=now + SET_BACK)
    )
    is_over = has_recovered | Q(job_type__in=JobType.primary.filter(breaker_failures=0))
    values = dict.fromkeys(("opened_at", "next_try_at", "tries_since", "recovering_since", "organization"))
    rows = Breaker.primary.filter(is_over, pk__in=pks)
    rows.update(state=BreakerState.CLOSED, failures=0, others_failures=0, **values)


def _is_open_to_jobs(kind: JobType) -> bool:
    return kind.is_enabled and not kind.is_paused


def _is_try_queued(row: Breaker) -> bool:
    if row.tries_since is None:
        return False
    rows = Job.primary.filter(status=Status.QUEUED, job_type_id=row.pk, queued_at__gte=row.tries_since)
    return (rows if row.organization_id is None else rows.filter(organization_id=row.organization_id)).exists()
