"""Passes of a dispatcher over endless backlogs, in memory: who got how much, and how far that is from what was due."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.support import verbs

MOST_ROOM = 300


def rooms(seed: int, most: int = MOST_ROOM) -> Iterator[int]:
    """How many jobs each pass may take."""
    drawn = random.Random(seed)
    while True:
        yield drawn.randint(1, most)


def serve(
    weights: Mapping[int, float],
    count: int,
    room: Iterator[int],
    *,
    page: int | Callable[[int], int] | None = None,
    one_round: bool = True,
    present: Callable[[int, int], bool] = lambda *_: True,
) -> list[int]:
    """The keys of so many jobs in their order.

    With ``page`` a pass sees so many keys at a time, which may depend on its room. With ``one_round`` it gives each
    page one round, else all its room. ``present`` says whether a key has jobs at a pass.
    """
    served: list[int] = []
    cursor: int | None = None
    leads: dict[str, float] = {}
    number = 0
    while len(served) < count:
        number += 1
        order = behind(cursor, [key for key in weights if present(key, number)])
        jobs = next(room)
        size = page(jobs) if callable(page) else page
        picked, cursor = _pass(order, weights, leads, jobs, size, cursor, one_round)
        served += picked
    return served[:count]


def behind(cursor: int | None, keys: Sequence[int]) -> list[int]:
    """The keys, those behind the cursor first."""
    if cursor is None:
        return list(keys)
    return [key for key in keys if key > cursor] + [key for key in keys if key <= cursor]


def _pass(
    order: Sequence[int],
    weights: Mapping[int, float],
    leads: dict[str, float],
    room: int,
    page: int | None,
    cursor: int | None,
    one_round: bool,
) -> tuple[list[int], int | None]:
    picked: list[int] = []
    size = page or len(order) or 1
    for start in range(0, len(order), size):
        going = verbs.WeightedTurns(
            order[start : start + size], weights, leads, is_page=one_round and size < len(order)
        )
        for key in going:
            picked.append(key)
            if len(picked) == room:
                break
        going.end()
        cursor = cursor if going.cursor is None else going.cursor
        if len(picked) == room:
            break
    return picked, cursor


def worst_deviation(served: Sequence[int], weights: Mapping[int, float], due: float = 10.0, among: int = 400) -> float:
    """How far from its share a key gets at worst, in any window in which the lightest is due so many jobs.

    It looks at the windows that begin at every so many jobs.
    """
    total = sum(weights.values())
    length = round(due * total / min(weights.values()))
    step = max(1, (len(served) - length) // among)
    worst = 0.0
    for start in range(0, len(served) - length + 1, step):
        got = Counter(served[start : start + length])
        worst = max(worst, *(abs(got[key] / (length * weight / total) - 1.0) for key, weight in weights.items()))
    return worst
