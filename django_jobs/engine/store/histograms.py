"""Logarithmic histograms of durations, which can be added up: counts in ten classes for each power of ten.

Class ``n`` counts durations of about 10^(n/10) seconds, from a millisecond up, so that a percentile read from a
histogram is at most 13 % off. They are stored as JSON; that is why keys are texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

CLASSES_PER_DECADE: Final = 10
#: The classes of a millisecond or less, and of four months or more.
LEAST, MOST = -30, 70


def class_of(seconds: float) -> str:
    """Return the key of the class that counts this many seconds."""
    if seconds <= 0:
        return str(LEAST)
    return str(min(MOST, max(LEAST, round(CLASSES_PER_DECADE * math.log10(seconds)))))


def merge(total: dict[str, int], other: Mapping[str, int]) -> None:
    """Add the second histogram to the first."""
    for key, count in other.items():
        total[key] = total.get(key, 0) + count


def count(histogram: Mapping[str, int]) -> int:
    """Return how many durations the histogram counts."""
    return sum(histogram.values())


def percentile(histogram: Mapping[str, int], share: float) -> float | None:
    """Return the seconds that this share (0 to 1) of durations did not exceed, by nearest rank; None if it is empty."""
    rank = max(1, math.ceil(share * count(histogram)))
    for key in sorted(histogram, key=int):
        rank -= histogram[key]
        if rank <= 0:
            return round(float(10 ** (int(key) / CLASSES_PER_DECADE)), 6)
    return None
