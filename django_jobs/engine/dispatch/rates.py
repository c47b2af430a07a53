"""Limits of starts: at most so many in any window of so many seconds."""

from __future__ import annotations

import datetime as dt
import functools
import math
import operator
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from django.db.models import Q

from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Candidate, InFlightJob, Lane
from django_jobs.models import Job
from django_jobs.statuses import Status

# One limit of starts: at most so many in any window of so many seconds, and evenly spread over it.
#
# **Exact** by a sliding window's count, in buckets of time. What is in hand, that is queued and not known to have
# started, may start at any later moment, so it counts in full. A start counts until at least a window after it was,
# since a bucket leaves as a whole: the rate is a bucket in a window below what is allowed, and never above.
#
# **Smooth** by a token bucket (J. Turner, "New directions in communications", IEEE Communications Magazine 24/10, 1986;
# the continuous-state leaky bucket of ITU-T I.371 is the same), whose tokens come at the rate that the count can bear:
# what is in hand takes room of the window, so by Little's law (J. Little, Operations Research 9/3, 1961) ``(most - in
# hand) / (window + bucket)`` may start in a second for ever. An idle limit saves up one start, or half a hundredth of a
# window. One that was found at its rate may catch up on what it missed since then, up to a tenth of a window.
#
# Moments are whole microseconds since the epoch, so that buckets are exact.


#: A job and the number of attempts that it had when it was queued. No two starts have the same.
Attempt: TypeAlias = tuple[int, int]

SECOND: Final = 1_000_000
#: Buckets in a window. A whole number of microseconds fits into each, for any whole number of seconds.
BUCKETS: Final = 100
#: Which part of a window's starts an idle limit saves up, and one at its rate catches up on at most.
IDLE_SHARE: Final = 1 / 200
MOST_SHARE: Final = 1 / 10
#: How late a look may come without loss of rate: a tenth of a window, up to this or a hundredth of it.
LATE_SECONDS: Final = 0.25
#: A handler begins a moment after its job is Running, by a clock that may be another machine's, and SQLite's clock cuts
#: off what is less than a millisecond. A start counts as later by this part of a window, up to so many microseconds.
SLACK_PART: Final = 200
SLACK: Final = SECOND // 4
#: How soon to look again whether what is in hand has started. The longer nothing changed, the rarer.
PAUSE: Final = 20_000
QUIET_SHARE: Final = 1 / 16
MOST_PAUSE: Final = 5 * SECOND
#: Where in what is kept of a window are: when that was, how long after it the last start leaves, and the jobs in hand.
KEPT_AT: Final = 0
LEAVES_AFTER: Final = 1
IN_HAND: Final = 6
#: Tokens that rounding may take away.
_ROUNDING: Final = 1e-4


class StartWindow:
    """The starts of a type, or of one of its keys, at the moment ``now`` of one pass."""

    def __init__(self, most: int, seconds: int, now: int, buckets: int = BUCKETS) -> None:
        self.most = most
        self.now = now
        self.in_hand: set[Attempt] = set()
        self._buckets = buckets
        self._window = seconds * SECOND
        self._grain = self._window // buckets
        self._slack = min(self._window // SLACK_PART, SLACK)
        self._counts: dict[int, int] = {}
        self._total = 0
        self._tokens = self._idle_tokens = max(1.0, most * IDLE_SHARE)
        self._since = self._changed_at = now
        self._was_at_rate = False
        self._was_asked = False

    def load(self, kept: list[Any], grain: int, last: int) -> None:
        """Take over what was kept at the moment ``last`` with buckets of ``grain`` microseconds.

        A moment ``last`` that is still to come was before the clock was set back: no time has passed since then.
        """
        self._since, _, self._tokens, was_at_rate, quiet, counts, in_hand = kept
        # One of which no job waited in the last pass is idle.
        self._was_at_rate = bool(was_at_rate) and self._since == last
        self._changed_at = min(self._since, self.now) - quiet
        self.in_hand = set(unpacked(in_hand))
        # One bucket later than it seems: where in their buckets the two moments lie is not known.
        shift = last // grain - self.now // grain - 1 if last > self.now else 0
        for bucket, count in unpacked(counts):
            self._count(bucket - shift if grain == self._grain else (bucket - shift + 1) * grain // self._grain, count)

    def advance(self, queued: set[Attempt], started_at: Callable[[Attempt], int | None]) -> None:
        """Go on from what was kept: what was in hand and is not ``queued`` has started.

        ``started_at`` says when, or None for what went another way.
        """
        first = self._bucket(self.now) - self._buckets
        for bucket in [bucket for bucket in self._counts if bucket < first]:
            self._total -= self._counts.pop(bucket)
        before = len(self.in_hand)
        gone = self.in_hand - queued
        for attempt in gone:
            moment = started_at(attempt)
            if moment is None:
                self._tokens += 1
            else:
                self.count_start(moment)
        if gone:
            self._changed_at = self.now
        self.in_hand = queued
        self._refill(max(0, self.now - self._since), before)

    def count_start(self, moment: int) -> None:
        """Count one start at a moment."""
        self._count(self._bucket(moment + self._slack), 1)

    def left(self) -> int:
        """Return how many more may be queued now."""
        self._was_asked = True
        return max(0, min(int(self._tokens + _ROUNDING), self._room))

    def counted(self) -> int:
        """Return how many count against the limit now: those in hand, and those that started within the window."""
        return self._total + len(self.in_hand)

    def take(self, attempt: Attempt) -> None:
        """Count a job that is queued now."""
        self._was_asked = True
        self.add(attempt)

    def add(self, attempt: Attempt) -> None:
        """Count a job that others have queued."""
        self.in_hand.add(attempt)
        self._tokens = max(-1.0, self._tokens - 1)
        self._changed_at = self.now

    def put_back(self, attempt: Attempt) -> None:
        """Count a job no more that was taken in this pass and was not queued."""
        if attempt in self.in_hand:
            self.in_hand.discard(attempt)
            self._tokens += 1

    def next_at(self) -> int | None:
        """Return when to look again; None if this was not found at its rate."""
        if not self._is_at_rate():
            return None
        found = [self._freed_at() if self._room <= 0 else self._token_at()]
        if self.in_hand:
            quiet = int((self.now - self._changed_at) * QUIET_SHARE)
            found.append(self.now + max(self._grain, PAUSE, min(quiet, MOST_PAUSE)))
        return min([moment for moment in found if moment is not None], default=None)

    def is_empty(self) -> bool:
        """Return whether nothing is in hand and nothing started within the window."""
        return not self._counts and not self.in_hand

    def to_keep(self, in_hand: Iterable[Attempt]) -> list[Any]:
        """Return what the next pass has to know. Of what is in hand only ``in_hand`` is kept here."""
        is_at_rate = self._is_at_rate()
        # Waiting for starts to leave the window saves up nothing: what they left would go in a burst.
        tokens = min(self._tokens, 1.0) if is_at_rate and self._room <= 0 else self._tokens
        tokens, counts = round(tokens, 4), packed(self._counts.items())
        leaves_after = self._leaves_at(max(self._counts)) - self.now if self._counts else 0
        quiet = self.now - self._changed_at
        return [self.now, leaves_after, tokens, int(is_at_rate), quiet, counts, packed(in_hand)]

    @property
    def _room(self) -> int:
        return self.most - self._total - len(self.in_hand)

    def _is_at_rate(self) -> bool:
        return self._was_asked and self.left() == 0

    def _bucket(self, moment: int) -> int:
        return moment // self._grain

    def _leaves_at(self, bucket: int) -> int:
        return (bucket + self._buckets + 1) * self._grain

    def _count(self, bucket: int, count: int) -> None:
        self._counts[bucket] = self._counts.get(bucket, 0) + count
        self._total += count

    def _rate(self, in_hand: int) -> float:
        """Return how many may start in a microsecond while so many are in hand."""
        return max(0, self.most - in_hand) / (self._window + self._grain + self._slack)

    def _refill(self, elapsed: int, in_hand: int) -> None:
        gained = self._tokens + self._rate(in_hand) * elapsed
        if not self._was_at_rate:
            self._tokens = min(gained, self._idle_tokens)
            return
        late = min(self._window / 10, max(LATE_SECONDS * SECOND, self._window / 100)) * self._rate(0)
        most = max(self.most * MOST_SHARE, min(1 + late, 1.99))
        self._tokens = min(gained, max(1.0, self._tokens) + late, most)

    def _token_at(self) -> int | None:
        rate = self._rate(len(self.in_hand))
        return self.now + math.ceil((1 - self._tokens) / rate) if rate else None

    def _freed_at(self) -> int | None:
        """Return when so much has left the window that one more may start; None if all that takes room is in hand."""
        missing = 1 - self._room
        for bucket in sorted(self._counts):
            missing -= self._counts[bucket]
            if missing <= 0:
                return self._leaves_at(bucket)
        return None


def packed(pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return pairs of numbers in one list, sorted; of the first number of each only what it adds to the one before."""
    found: list[int] = []
    last = 0
    for first, second in sorted(pairs):
        found += (first - last, second)
        last = first
    return found


def unpacked(numbers: list[int]) -> list[tuple[int, int]]:
    """Return the pairs of which :func:`packed` made a list."""
    found: list[tuple[int, int]] = []
    last = 0
    for step, second in zip(numbers[::2], numbers[1::2], strict=True):
        last += step
        found.append((last, second))
    return found


# The limits of starts of one type: its own, and that of each of its keys, in one pass of the dispatcher.
#
# A key has a window of its own while anything of it is in hand or started within the window. Where MAX_KEYS have one,
# further keys of a type share STRIPES windows: each of these counts the starts of all its keys against the limit of
# one, so that a key may wait longer than it would have to, and never starts too much (striped counters, as in a count-
# min sketch: G. Cormode and S. Muthukrishnan, 2005).


#: Keys have fewer buckets than a type, since there are many of them.
KEY_BUCKETS: Final = 50
#: Keys with a window of their own, of a type; and how many windows the others share.
MAX_KEYS: Final = 1_000
STRIPES: Final = 100
#: What is left where there is no limit.
NO_LIMIT: Final = sys.maxsize


class StartLimit(NamedTuple):
    """How many may start in ``seconds``: of a type, and of each of its keys. None is no limit."""

    max_starts: int | None
    max_starts_per_key: int | None
    seconds: int


class TypeRates:
    """The windows of one type and of its keys, in one pass."""

    def __init__(self, limit: StartLimit, now: int) -> None:
        self._limit = limit
        self._has_keys = limit.max_starts_per_key is not None
        self._now = now
        self._total = StartWindow(limit.max_starts, limit.seconds, now) if limit.max_starts is not None else None
        self._keys: dict[str, StartWindow] = {}
        #: What is kept of keys of which nothing is in hand, until somebody asks: it stays as it is.
        self._asleep: dict[str, list[Any]] = {}
        self._kept_grain = self._last = 0

    def load(self, kept: Mapping[str, Any], last: int) -> None:
        """Take over what was kept at the moment ``last``."""
        self._last, self._kept_grain = last, kept["seconds"] * SECOND // KEY_BUCKETS
        is_frame_new = last > self._now or kept["seconds"] != self._limit.seconds
        for key, item in kept["keys"].items() if self._has_keys else ():
            if item[KEPT_AT] + item[LEAVES_AFTER] > self._now or item[IN_HAND] or is_frame_new:
                self._asleep[key] = item
                if item[IN_HAND] or is_frame_new:
                    self._keys[key] = self._loaded(key)
        if self._total:
            if kept["total"]:
                self._total.load(kept["total"], kept["seconds"] * SECOND // BUCKETS, last)
            self._total.in_hand.update(*(unpacked(item[IN_HAND]) for item in kept["keys"].values()))

    def advance(self, queued: Mapping[Attempt, str], started_at: Callable[[Attempt], int | None]) -> None:
        """Go on from the pass before. ``queued`` is what is in hand now, with its keys."""
        known = {key: {item for item in window.in_hand if item in queued} for key, window in self._keys.items()}
        for key, window in self._keys.items():
            window.advance(known[key], started_at)
        self._keys = {key: window for key, window in self._keys.items() if not window.is_empty()}
        if self._has_keys:
            for item in queued.keys() - set().union(*known.values()):
                self._window_of(queued[item]).add(item)
        if self._total:
            self._total.advance(set(queued), started_at)

    def in_hand(self) -> set[Attempt]:
        """Return what is queued and not known to have started."""
        return set().union(*(window.in_hand for window in self._windows()))

    def left_of_all(self) -> int:
        """Return how many more of all keys together may be queued now."""
        return self._total.left() if self._total else NO_LIMIT

    def left(self, key: str) -> int:
        """Return how many more of a key may be queued now."""
        left = self.left_of_all()
        if not self._has_keys:
            return left
        window = self._known(self._place(key)) or self._new_window()
        return min(left, window.left())

    def counted(self) -> int | None:
        """Return how many count against the type's limit now: queued or started in the window; None without one."""
        return self._total.counted() if self._total else None

    def windows_of(self, key: str) -> list[StartWindow]:
        """Return the windows that count the jobs of a key: the type's, and its own."""
        of_type = [self._total] if self._total else []
        return [*of_type, self._window_of(key)] if self._has_keys else of_type

    def next_moments(self) -> list[int]:
        """Return when to look again, of each window that was found at its rate."""
        return [moment for window in self._windows() if (moment := window.next_at()) is not None]

    def is_empty(self) -> bool:
        """Return whether there is nothing to keep."""
        return not self._asleep and all(window.is_empty() for window in self._windows())

    def to_keep(self) -> dict[str, Any]:
        """Return what the next pass has to know, as JSON. What is in hand stands once: in its key's window, if any."""
        keys = {key: window.to_keep(window.in_hand) for key, window in self._keys.items() if not window.is_empty()}
        of_keys = set().union(*(window.in_hand for window in self._keys.values()))
        total = self._total.to_keep(self._total.in_hand - of_keys) if self._total else None
        return {"seconds": self._limit.seconds, "total": total, "keys": {**self._asleep, **keys}}

    def _windows(self) -> list[StartWindow]:
        return [self._total, *self._keys.values()] if self._total else [*self._keys.values()]

    def _new_window(self) -> StartWindow:
        return StartWindow(self._limit.max_starts_per_key or 0, self._limit.seconds, self._now, KEY_BUCKETS)

    def _loaded(self, place: str) -> StartWindow:
        window = self._new_window()
        window.load(self._asleep.pop(place), self._kept_grain, self._last)
        return window

    def _known(self, place: str) -> StartWindow | None:
        """Return what is known of a window, awake."""
        if place in self._asleep:
            self._keys[place] = self._loaded(place)
            self._keys[place].advance(set(), lambda _: None)
        return self._keys.get(place)

    def _window_of(self, key: str) -> StartWindow:
        place = self._place(key)
        return self._known(place) or self._keys.setdefault(place, self._new_window())

    def _place(self, key: str) -> str:
        """Return which window counts a key: all its starts that still count are in this one."""
        stripe = f"#{zlib.crc32(key.encode()) % STRIPES}"
        if key in self._keys or key in self._asleep:
            return key
        is_shared = stripe in self._keys or stripe in self._asleep
        return stripe if is_shared or len(self._keys) + len(self._asleep) >= MAX_KEYS else key


# How many jobs of a type may start in a window of time: what one pass of the dispatcher decides by.
#
# Types with ``max_starts`` or ``max_starts_per_key`` are queued by the dispatcher alone, under its lock, and by no
# other way: what starts between two passes without having been seen is not counted. What each pass knows is kept for
# the next one in the row of that lock. Nothing here asks the database or the clock. How one limit counts, and why it is
# exact, is told above; so is what keys share.


#: What is queued, or about to be.
QueuedJob: TypeAlias = InFlightJob | Candidate
#: Asks when attempts started, in seconds since the epoch: None where one did not, and is queued no more. What is not
#: known is left out.
StartedAt: TypeAlias = Callable[[Collection[Attempt]], Mapping[Attempt, float | None]]
#: Tells what started within the window of its type: the lane it came from, and seconds since the epoch.
Recent: TypeAlias = Callable[[Mapping[str, StartLimit]], Iterable[tuple[Lane, float]]]

#: In place of what a pass has left, where that was lost; and where none has left anything yet.
LOST_RATES: Final = "lost"
NOTHING_KEPT: Final[Mapping[str, Any]] = MappingProxyType({"at": 0, "types": {}})


class StartRates:
    """What may start in one pass of the dispatcher. Made by :func:`read_rates`."""

    def __init__(self, types: Mapping[str, TypeRates], now: int) -> None:
        self._types = types
        self._now = now

    def left(self, lane: Lane) -> int:
        """Return how many more jobs of a lane may be queued now; NO_LIMIT for a type without limits of starts."""
        rates = self._types.get(lane.job_type)
        return NO_LIMIT if rates is None else rates.left(_key(lane))

    def counted(self, job_type: str) -> int | None:
        """Return how many count against the limit of a type now; None for one without a limit of its own."""
        rates = self._types.get(job_type)
        return None if rates is None else rates.counted()

    def left_of_type(self, job_type: str) -> int:
        """Return how many more jobs of a type may be queued now, whatever their keys; NO_LIMIT without such a limit."""
        rates = self._types.get(job_type)
        return NO_LIMIT if rates is None else rates.left_of_all()

    def take(self, job: QueuedJob) -> None:
        """Count a job that is queued now."""
        for window in self._windows(job.lane):
            window.take((job.pk, job.attempt))

    def put_back(self, job: QueuedJob) -> None:
        """Count a job no more that was taken in this pass, and then was not queued since its row was in use."""
        for window in self._windows(job.lane):
            window.put_back((job.pk, job.attempt))

    def count_start(self, lane: Lane, moment: float) -> None:
        """Count a job that started at a moment, in seconds since the epoch, and that no pass had in hand."""
        for window in self._windows(lane):
            window.count_start(min(self._now, math.ceil(moment * SECOND)))

    def next_at(self) -> float | None:
        """Return when to look again, in seconds since the epoch; None if nothing was found at its rate."""
        moments = [moment for rates in self._types.values() for moment in rates.next_moments()]
        return min(moments) / SECOND if moments else None

    def to_keep(self) -> dict[str, Any]:
        """Return what the next pass has to know, as JSON; empty if that is nothing."""
        types = {name: rates.to_keep() for name, rates in self._types.items() if not rates.is_empty()}
        return {"at": self._now, "types": types} if types else {}

    def _windows(self, lane: Lane) -> list[StartWindow]:
        rates = self._types.get(lane.job_type)
        return [] if rates is None else rates.windows_of(_key(lane))


def read_rates(
    kept: Any,
    limits: Mapping[str, StartLimit],
    queued: Iterable[QueuedJob],
    now: float,
    started_at: StartedAt | None = None,
    recent: Recent | None = None,
) -> StartRates:
    """Return what may start in a pass that begins now.

    ``kept`` is what the last pass left; ``queued`` all that is Queued of the types that have ``limits``; ``now`` the
    database's clock in seconds since the epoch, read no earlier than ``queued``. What was in hand and is queued no more
    counts as ``started_at`` says, if that is given and knows it, and else as started now, which is never too early; see
    :func:`.started_at`. Where ``kept`` is LOST_RATES, what started lately counts as ``recent`` tells.
    """
    is_lost = kept == LOST_RATES
    state: Mapping[str, Any] = NOTHING_KEPT if is_lost or not kept else kept
    last: int = state["at"]
    moment = round(now * SECOND)
    types = {name: TypeRates(limit, moment) for name, limit in limits.items() if limit[:2] != (None, None)}
    for name in types.keys() & state["types"].keys():
        types[name].load(state["types"][name], last)
    keys: dict[str, dict[Attempt, str]] = {name: {} for name in types}
    for job in queued:
        if job.lane.job_type in types:
            keys[job.lane.job_type][job.pk, job.attempt] = _key(job.lane)
    gone = {attempt for name, rates in types.items() for attempt in rates.in_hand() if attempt not in keys[name]}
    known = started_at(gone) if started_at and gone else {}

    def start_of(attempt: Attempt) -> int | None:
        started = known.get(attempt, now)
        return None if started is None else min(moment, max(last, math.ceil(started * SECOND)))

    for name, rates in types.items():
        rates.advance(keys[name], start_of)
    found = StartRates(types, moment)
    for lane, started in recent(limits) if is_lost and recent else ():
        found.count_start(lane, started)
    return found


def _key(lane: Lane) -> str:
    return f"{lane.organization_pk}|{lane.key}"


# When attempts started, as the rows of their jobs say: what a pass asks about jobs that it no longer finds queued.


def started_at(attempts: Collection[Attempt]) -> dict[Attempt, float | None]:
    """Return when jobs started that were queued with so many attempts before, in seconds since the epoch.

    None stands for a job that did not start, and is queued no more. What is not known is left out: the job is gone, has
    started again since, or starts over. Ask after it was read what is queued. A transaction that may have an old view
    knows nothing: what it sees waiting may have been queued since.
    """
    if store().has_old_view():
        return {}
    rows = Job.primary.filter(pk__in={pk for pk, _ in attempts})
    found: dict[Attempt, float | None] = {}
    for pk, attempt, status, started in rows.values_list("pk", "attempt", "status", "started_at"):
        if status != Status.QUEUED:
            found[pk, attempt] = None
        if started is not None:
            found[pk, attempt - 1] = started.timestamp()
    return {attempt: moment for attempt, moment in found.items() if attempt in attempts}


def recent(limits: Mapping[str, StartLimit]) -> Iterator[tuple[Lane, float]]:
    """Yield what started within the windows of these types: the lane, and seconds since the epoch.

    A job that started more than once counts once. This reads all jobs of these types: it is for where what passes knew
    was lost.
    """
    now = database.now()
    of_each = [
        Q(job_type_id=name, started_at__gt=now - dt.timedelta(seconds=limit.seconds)) for name, limit in limits.items()
    ]
    rows = Job.primary.order_by().filter(functools.reduce(operator.or_, of_each, Q(pk__in=[])))
    for organization_pk, name, key, moment in rows.values_list(
        "organization_id", "job_type_id", "lane_key", "started_at"
    ):
        if moment is not None:
            yield Lane(organization_pk, name, key), moment.timestamp()
