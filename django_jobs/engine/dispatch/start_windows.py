"""One limit of starts: at most so many in any window of so many seconds, and evenly spread over it.

**Exact** by a sliding window's count, in buckets of time. What is in hand, that is queued and not known to have
started, may start at any later moment, so it counts in full. A start counts until at least a window after it was, since
a bucket leaves as a whole: the rate is a bucket in a window below what is allowed, and never above.

**Smooth** by a token bucket (J. Turner, "New directions in communications", IEEE Communications Magazine 24/10, 1986;
the continuous-state leaky bucket of ITU-T I.371 is the same), whose tokens come at the rate that the count can bear:
what is in hand takes room of the window, so by Little's law (J. Little, Operations Research 9/3, 1961) ``(most - in
hand) / (window + bucket)`` may start in a second for ever. An idle limit saves up one start, or half a hundredth of a
window. One that was found at its rate may catch up on what it missed since then, up to a tenth of a window.

Moments are whole microseconds since the epoch, so that buckets are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

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
        self._forget_left()
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

    def _forget_left(self) -> None:
        first = self._bucket(self.now) - self._buckets
        for bucket in [bucket for bucket in self._counts if bucket < first]:
            self._total -= self._counts.pop(bucket)

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
