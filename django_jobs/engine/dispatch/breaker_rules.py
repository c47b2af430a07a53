"""The rules of a breaker, without a database: what it counts, when it opens, and how many jobs it lets go.

It is the circuit breaker of Michael Nygard's "Release It!": closed, open, and half open, which here is a recovery in
which ever more jobs may be in flight. An attempt counts if it completed, or failed with a transient error or by its
timeout. All others, such as permanent errors, cancels and lost workers, say nothing of a provider.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.engine.store.database import SET_BACK
from django_jobs.models import Breaker
from django_jobs.statuses import BreakerState

#: Seconds after the first completed attempt until the breaker is closed.
RECOVERY_SECONDS: Final = 10.0
#: How many jobs may be in flight when it begins to recover; doubled with each second.
FIRST_AT_ONCE: Final = 2
#: So many failures in a row open a recovering breaker again; fewer, if that many would open a closed one.
RELAPSE_FAILURES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a job type says of its breaker: how many failures open it, and the seconds between two tries."""

    failures: int
    pause: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How an attempt of an organization failed, and when it began."""

    organization_pk: Any
    fingerprint: str
    text: str
    began: dt.datetime | None


def state_of(row: Breaker, now: dt.datetime) -> BreakerState:
    """Return the state at this moment: a recovery ends by itself, before anybody writes that down."""
    if row.state == BreakerState.RECOVERING and not 0 <= _recovered_for(row, now) < RECOVERY_SECONDS:
        return BreakerState.CLOSED
    return BreakerState(row.state)


def holds(row: Breaker, organization_pk: Any) -> bool:
    """Return whether the breaker is this organization's as well: while it is not closed it may be that of one alone."""
    return row.organization_id is None or row.organization_id == organization_pk


def close(row: Breaker) -> None:
    """Close the breaker. What it counted stays, since attempts in a row may go on to fail."""
    row.state = BreakerState.CLOSED
    row.opened_at = row.next_try_at = row.tries_since = row.recovering_since = None
    row.others_failures = 0


def reset(row: Breaker) -> None:
    """Close the breaker, and have it count anew."""
    close(row)
    row.failures, row.fingerprint, row.error_message, row.organization_id = 0, "", "", None


def count_failure(row: Breaker, failure: Failure, limits: Limits, now: dt.datetime) -> bool:
    """Count an attempt that failed. Return whether it costs its job a retry.

    It costs none while the breaker is open. Nor does it while it recovers, if the error is the one that opened it, or
    if the attempt began when it was open: then it does not even count. Where the breaker holds one organization, an
    attempt of another costs a retry. As many of those in a row with one error as open a breaker make it hold all.
    """
    state, is_same = state_of(row, now), row.fingerprint == failure.fingerprint
    if state != BreakerState.CLOSED and not holds(row, failure.organization_pk):
        row.others_failures = row.others_failures + 1 if row.others_fingerprint == failure.fingerprint else 1
        row.others_fingerprint = failure.fingerprint
        if row.others_failures >= limits.failures:
            row.failures, row.organization_id = row.others_failures, None
            row.fingerprint, row.error_message = failure.fingerprint, failure.text
            _open(row, limits, now)
        return True
    if state == BreakerState.RECOVERING and _began_by(failure.began, row.recovering_since):
        return False
    whose = row.relapse_organization_id if row.state == BreakerState.RECOVERING else row.organization_id
    is_first = not row.failures or (state == BreakerState.CLOSED and not is_same)
    whose = failure.organization_pk if is_first or whose == failure.organization_pk else None
    if state == BreakerState.CLOSED:
        close(row)
        row.organization_id = whose
    elif state == BreakerState.RECOVERING:
        row.relapse_organization_id = whose
    row.failures = row.failures + 1 if is_same or state != BreakerState.CLOSED else 1
    row.fingerprint, row.error_message = failure.fingerprint, failure.text
    most = min(limits.failures, RELAPSE_FAILURES) if state == BreakerState.RECOVERING else limits.failures
    if state != BreakerState.OPEN and row.failures >= most:
        row.organization_id = whose
        _open(row, limits, now)
    return state == BreakerState.CLOSED or (state == BreakerState.RECOVERING and not is_same)


def _open(row: Breaker, limits: Limits, now: dt.datetime) -> None:
    row.state, row.opened_at, row.tries_since, row.recovering_since = BreakerState.OPEN, now, None, None
    row.next_try_at, row.others_failures = now + dt.timedelta(seconds=limits.pause), 0


def count_completion(row: Breaker, organization_pk: Any, began: dt.datetime | None, now: dt.datetime) -> None:
    """Count an attempt that completed. One that began before the breaker opened says nothing of the time after.

    Where the breaker holds one organization, an attempt of another only says that not all fail.
    """
    state = state_of(row, now)
    if state != BreakerState.CLOSED and not holds(row, organization_pk):
        row.others_failures = 0
        return
    if state == BreakerState.OPEN:
        if _began_by(began, row.opened_at):
            return
        row.state, row.recovering_since, row.next_try_at, row.tries_since = BreakerState.RECOVERING, now, None, None
    elif state == BreakerState.CLOSED:
        close(row)
    row.failures = 0


def is_time_to_try(row: Breaker, limits: Limits, now: dt.datetime) -> bool:
    """Return whether an open breaker may let a job go. The pause may have been cut, or the clock set back."""
    at = row.next_try_at
    return at is None or at <= now or at > now + dt.timedelta(seconds=limits.pause) + SET_BACK


def most_at_once(row: Breaker, now: dt.datetime) -> int:
    """Return how many jobs may be queued or running while the breaker recovers: twice as many with each second."""
    return FIRST_AT_ONCE << int(max(0.0, _recovered_for(row, now)))


def seconds_to_change(row: Breaker, now: dt.datetime) -> float:
    """Return after how many seconds the breaker lets more jobs go, if nothing else happens; 0 if it does so now."""
    if row.state == BreakerState.RECOVERING:
        return 1.0 - _recovered_for(row, now) % 1.0
    return max(0.0, (row.next_try_at - now).total_seconds()) if row.next_try_at is not None else 0.0


def _recovered_for(row: Breaker, now: dt.datetime) -> float:
    """Return for how many seconds it has recovered; RECOVERY_SECONDS where the clock went back far behind that."""
    since = row.recovering_since
    if since is None or since > now + SET_BACK:
        return RECOVERY_SECONDS
    return max(0.0, (now - since).total_seconds())


def _began_by(began: dt.datetime | None, moment: dt.datetime | None) -> bool:
    return began is not None and moment is not None and began <= moment
