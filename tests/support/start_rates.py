"""Jobs that wait for their type's rate of starts, on a clock of their own: no database, no workers, no waiting."""

from __future__ import annotations

import heapq
import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tests.support import verbs
from tests.support.verbs import InFlightJob, Lane, StartAttempt, StartLimit, StartRates

START = 1_700_000_000.25
ORGANIZATION = 7


def lane_of(job_type: str, lane_key: int = 0) -> Lane:
    """The lane of a type's jobs with this key."""
    return Lane(ORGANIZATION, job_type, lane_key)


def job_of(job_type: str, lane_key: int, pk: int, attempt: int = 0) -> InFlightJob:
    """A job that is queued after so many attempts."""
    return InFlightJob(lane_of(job_type, lane_key), pk, attempt)


class Simulation:
    """A dispatcher's passes, and workers that start what is queued some time later.

    ``delay`` gives the seconds between queue and start of each job. ``now`` is what has really passed; the database's
    clock shows ``now + offset``. With ``tells_starts`` a pass asks the rows when jobs started.
    """

    def __init__(
        self, limits: Mapping[str, StartLimit], delay: Iterator[float] | None = None, *, tells_starts: bool = False
    ) -> None:
        self.limits = dict(limits)
        self.now = START
        self.offset = 0.0
        #: So many seconds earlier than it really was the rows tell a start.
        self.rows_are_early = 0.0
        self.kept: Any = None
        self.next_at: float | None = None
        self.waiting: dict[tuple[str, int], int] = defaultdict(int)
        #: Jobs that were requeued and wait again, by type and key.
        self.again: dict[tuple[str, int], list[StartAttempt]] = defaultdict(list)
        #: When each job started, by type and key.
        self.starts: dict[tuple[str, int], list[float]] = defaultdict(list)
        self._delay = delay
        self._tells_starts = tells_starts
        self._queued: list[tuple[float, tuple[str, int], StartAttempt]] = []
        self._rows: dict[StartAttempt, float] = {}
        self._last: dict[tuple[str, int], StartAttempt] = {}
        self._pk = 1_000_000

    def submit(self, job_type: str, count: int, lane_key: int = 0) -> None:
        """Let so many jobs wait."""
        self.waiting[job_type, lane_key] += count

    def go_on(self, seconds: float) -> None:
        """Let time pass, and workers start what they took."""
        self.now += seconds
        while self._queued and self._queued[0][0] <= self.now:
            moment, lane, attempt = heapq.heappop(self._queued)
            self.starts[lane].append(moment)
            self._rows[attempt] = moment + self.offset - self.rows_are_early
            self._last[lane] = attempt

    def requeue(self, lane: tuple[str, int]) -> None:
        """Let the job that started last wait again, under its next attempt."""
        if lane in self._last:
            pk, attempt = self._last.pop(lane)
            self.again[lane].append((pk, attempt + 1))
            self.waiting[lane] += 1

    def make_pass(self) -> int:
        """Queue what may go, as a dispatcher does; return how many jobs that is."""
        rates = self.read()
        count = 0
        for lane in sorted(self.waiting):
            job_type, lane_key = lane
            while self.waiting[lane] and rates.left(lane_of(job_type, lane_key)):
                attempt = self._next(lane)
                rates.take(job_of(job_type, lane_key, *attempt))
                moment = self.now + (next(self._delay) if self._delay else 0.0)
                heapq.heappush(self._queued, (moment, lane, attempt))
                self.waiting[lane] -= 1
                count += 1
        self.next_at = rates.next_at()
        self.kept = json.loads(json.dumps(rates.to_keep()))
        return count

    def read(self) -> StartRates:
        """What a pass knows that begins now."""
        queued = [job_of(*lane, *attempt) for _, lane, attempt in self._queued]
        asked = self._started_at if self._tells_starts else None
        return verbs.read_start_rates(self.kept, self.limits, queued, self.now + self.offset, asked)

    def run(self, seconds: float, gaps: Iterator[float]) -> None:
        """Make passes for so many seconds, with these pauses."""
        until = self.now + seconds
        while self.now < until:
            self.make_pass()
            self.go_on(next(gaps))

    def all_starts(self, job_type: str) -> list[float]:
        """When jobs of a type started, in order."""
        return sorted(moment for lane, moments in self.starts.items() if lane[0] == job_type for moment in moments)

    def _next(self, lane: tuple[str, int]) -> StartAttempt:
        self._pk += 1
        return self.again[lane].pop() if self.again[lane] else (self._pk, 0)

    def withdraw(self) -> None:
        """Put back to the backlog what is queued, as if the broker were away."""
        for _, lane, attempt in self._queued:
            self.again[lane].append(attempt)
            self.waiting[lane] += 1
        self._queued.clear()

    def _started_at(self, attempts: Collection[StartAttempt]) -> dict[StartAttempt, float | None]:
        return {attempt: self._rows.get(attempt) for attempt in attempts}


def most_in_a_window(starts: list[float], seconds: float) -> int:
    """The most starts that any sliding window of so many seconds holds."""
    most = first = 0
    for last, moment in enumerate(starts):
        while starts[first] <= moment - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def tenths(starts: list[float], begin: float, seconds: float) -> list[int]:
    """How many started in each whole tenth of a window, from ``begin`` until the last start."""
    found = [0] * int((starts[-1] - begin) / (seconds / 10))
    for moment in starts:
        place = math.floor((moment - begin) / (seconds / 10))
        if 0 <= place < len(found):
            found[place] += 1
    return found
