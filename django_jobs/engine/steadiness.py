"""Whether a scheduler has been at work for so long that every worker that lives could renew its leases meanwhile.

Before that, a lease that has run out may be one of a worker that lives as well as ever: nobody could renew anything
while the database was away, or while the machine of all of them was suspended.
"""

from __future__ import annotations

import datetime as dt
import time

from django_jobs.conf import jobs_settings


class Steadiness:
    """That of one scheduler, which notes whenever it gets on. It begins anew after a failure, and after a gap."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._last_sign: float | None = None
        #: When the database last told its time, on time.monotonic's clock and on its own.
        self._answered: tuple[float, dt.datetime] | None = None

    @property
    def is_first_answer(self) -> bool:
        """Whether the database has not told its time yet."""
        return self._answered is None

    def gained(self, moment: float, now: dt.datetime) -> float:
        """Return how many seconds the database's clock gained on this machine's since the database last answered.

        While this machine was suspended, the database's clock went on, and the machine's monotonic clock did not. A
        leap of the database's clock counts as well, because leases go by that clock; one that was set back lost time.
        """
        if self._answered is None:
            return 0.0
        last_moment, last = self._answered
        return (now - last).total_seconds() - (moment - last_moment)

    def note_answer(self, moment: float, now: dt.datetime) -> None:
        """Note that the database answered at this moment, and told this time."""
        self.note_sign(asleep=max(0.0, self.gained(moment, now)))
        self._answered = moment, now

    def note_sign(self, asleep: float = 0.0) -> None:
        """Note that the scheduler is at work, after this machine was suspended for so many seconds."""
        now = time.monotonic()
        if self._since is None or self._is_gap(now + asleep):
            self._since = now
        self._last_sign = now

    def begin_anew(self) -> None:
        """Count only from the next sign."""
        self._since = None

    def is_reached(self) -> bool:
        """Return whether it lasts as long as a lease. In the midst of a tick, False if the process was frozen in it."""
        now, since = time.monotonic(), self._since
        return since is not None and now - since >= float(jobs_settings.LEASE_SECONDS) and not self._is_gap(now)

    def _is_gap(self, now: float) -> bool:
        """Return whether leases may have run out because the database answered nobody for too long."""
        interval, lease = float(jobs_settings.SCHEDULER_INTERVAL), float(jobs_settings.LEASE_SECONDS)
        longest = min(5 + 3 * interval, interval + lease / 3)
        return self._last_sign is not None and now - self._last_sign > longest
