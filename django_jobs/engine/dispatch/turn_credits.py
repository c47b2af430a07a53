"""What one pass leaves to the next, so that unequal shares hold from pass to pass."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Keys whose next turn is remembered, the newest.
MOST_KEYS: Final = 1_000
#: A time around ends after so many keys, also if the key with which it began does not come again.
CYCLE_KEYS: Final = 10_000
#: Times around are counted up to here.
CYCLES: Final = 2**20
#: While all weigh the same, what a key is ahead is forgiven by this part of the time that passes.
FORGIVEN: Final = 1 / 16
#: The shortest and the longest round: those where all weigh 100, or 0.01.
ROUND_BOUNDS: Final = (0.01, 100.0)
#: A round fits if a key of mean weight gets so many jobs in it.
FITTING: Final = (0.5, 2.0)
#: Sums of fractions are less exact than this.
TINY: Final = 1e-6


@dataclass(slots=True)
class Credits:
    """What a pass knows of those before it. There is one for each priority.

    Time is virtual: in a time of 1 a key of weight 1 gets one job. ``waits`` is how far away a key's next turn is; one
    that is not there has its turn at once.

    The other fields are for pages. ``round_length`` is the time that a key gets in one visit. ``cycle`` is how many
    times all keys were visited; this time it began with the key ``first``, and visited ``count`` keys, whose weights
    are ``total``. With more keys than can be remembered it ``is_crowded``, and none is.
    """

    waits: dict[str, float] = field(default_factory=dict)
    round_length: float = 1.0
    cycle: int = 0
    first: str = ""
    count: int = 0
    total: float = 0.0
    is_crowded: bool = False

    @classmethod
    def from_json(cls, value: Any) -> Credits:
        """Return what ``to_json`` gave. What is no such value is as none."""
        try:
            waits = {str(key): _finite(wait) for key, wait in value["waits"].items()}
            length, cycle, first, count, total, is_crowded = value["round"]
            counted = max(0, int(count)), _finite(total), bool(is_crowded)
            return cls(_newest(waits), _bounded(_finite(length)), int(cycle) % CYCLES, str(first), *counted)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return cls()

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON; an empty one where nothing has to be kept."""
        if self == Credits(cycle=self.cycle):
            return {}
        waits = {key: round(wait, 6) for key, wait in _newest(self.waits).items()}
        counted = self.cycle, self.first, self.count, round(self.total, 6), self.is_crowded
        return {"waits": waits, "round": [self.round_length, *counted]}

    def clear(self) -> None:
        """Keep nothing."""
        self.waits, self.first, self.count, self.total, self.is_crowded = {}, "", 0, 0.0, False
        self.round_length = 1.0

    def set_wait(self, key: str, wait: float) -> None:
        """Note how far away a key's next turn is; it is the newest then."""
        self.waits.pop(key, None)
        if abs(wait) > TINY:
            self.waits[key] = wait

    def pass_time(self, time: float, present: Collection[str], part: float = 0.0) -> None:
        """Let the turns of all keys come nearer by a time; those of keys that are ``present`` by a part of it."""
        if self.waits and time > 0.0:
            nearer = {key: wait - time * (part if key in present else 1.0) for key, wait in self.waits.items()}
            self.waits = {key: wait for key, wait in nearer.items() if wait > TINY}

    def begin_page(self, mean: float) -> None:
        """Choose the length of rounds by a page's mean weight, where no page was seen before."""
        if not self.first and self.round_length == 1.0:
            self._fit(mean)

    def visit(self, key: str, weight: float) -> None:
        """Count a page's key that has its visit now. Where each key is due one job, there is nothing to count."""
        if not self.first and abs(weight * self.round_length - 1.0) <= TINY and not self.is_crowded:
            return
        if key == self.first or self.count >= CYCLE_KEYS:
            self._end_cycle()
        self.first = self.first or key
        self.count, self.total = self.count + 1, self.total + weight

    def revisit(self, key: str, weight: float) -> None:
        """Take back the count of a key whose visit goes on in the next pass."""
        if self.first:
            self.count, self.total = self.count - 1, self.total - weight
            self.first = self.first if self.count else ""

    def credit(self, key: str, weight: float) -> float:
        """Return how many jobs a key may take in the visit that it has now.

        A new key may take one at least. Where nobody is remembered, the jobs that it is due since the first cycle are
        rounded down, with a fraction of its own, so that they come at even distances.
        """
        due, wait = weight * self.round_length, self.waits.get(key)
        if wait is not None:
            return 1.0 - wait * weight + due
        if self.is_crowded:
            return math.fmod(zlib.crc32(key.encode()) / 2**32 + due * self.cycle, 1.0) + due
        return max(1.0, due)

    def shrink(self, *, is_page: bool) -> None:
        """Forget the oldest where there are too many keys; of pages all, since the oldest are those that come next."""
        if is_page and len(self.waits) > MOST_KEYS:
            self.is_crowded = True
            self.waits.clear()
        self.waits = _newest(self.waits)

    def _end_cycle(self) -> None:
        """Begin a new time around, with rounds of another length if those do not fit.

        Else they stay as they are: a new length is unfair to those that had their turn with the old one.
        """
        self._fit(self.total / self.count)
        self.is_crowded = self.is_crowded and self.count > MOST_KEYS
        self.cycle = (self.cycle + 1) % CYCLES
        self.first, self.count, self.total = "", 0, 0.0

    def _fit(self, mean: float) -> None:
        if not FITTING[0] <= mean * self.round_length <= FITTING[1]:
            self.round_length = _bounded(1.0 / mean)


def _bounded(length: float) -> float:
    return min(max(length, ROUND_BOUNDS[0]), ROUND_BOUNDS[1])


def _newest(waits: Mapping[str, float]) -> dict[str, float]:
    return dict(list(waits.items())[-MOST_KEYS:]) if len(waits) > MOST_KEYS else dict(waits)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(number)
    return number
