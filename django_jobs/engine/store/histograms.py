"""How long things took, in a few numbers that can be added up: counts in ten classes a decade of seconds.

Class ``n`` holds what took about 10^(n/10) seconds, from a millisecond up, so that a percentile read from a histogram
is at most 13 % off. Stored as JSON, hence with text as keys. Pure: no database.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

CLASSES_PER_DECADE: Final = 10
#: A millisecond and less; four months and more.
LEAST, MOST = -30, 70


def class_of(seconds: float) -> str:
    """The key under which so many seconds are counted."""
    if seconds <= 0:
        return str(LEAST)
    return str(min(MOST, max(LEAST, round(CLASSES_PER_DECADE * math.log10(seconds)))))


def merge(total: dict[str, int], other: Mapping[str, int]) -> None:
    """Add the second histogram to the first."""
    for key, count in other.items():
        total[key] = total.get(key, 0) + count


def count(histogram: Mapping[str, int]) -> int:
    """How many are counted in it."""
    return sum(histogram.values())


def percentile(histogram: Mapping[str, int], share: float) -> float | None:
    """The seconds that this share (0 to 1) did not exceed, by nearest rank; None of nothing."""
    rank = max(1, math.ceil(share * count(histogram)))
    for key in sorted(histogram, key=int):
        rank -= histogram[key]
        if rank <= 0:
            return round(float(10 ** (int(key) / CLASSES_PER_DECADE)), 6)
    return None
