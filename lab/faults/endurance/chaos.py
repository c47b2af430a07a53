"""Draws faults from a seed and lets them happen, for so many seconds; heals them when their time is over."""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from lab.faults.endurance.faults import FAULTS, Stroke
from lab.faults.endurance.world import World

#: Seconds between two faults.
PAUSE: Final = (0.5, 3.5)
TICK: Final = 0.05


class Chaos:
    """One run of faults; ``say`` is told of each."""

    def __init__(self, world: World, seed: int, say: Callable[[str], None]) -> None:
        self._world = world
        self._seed = seed
        self._say = say
        self._rng = random.Random(seed)
        self._numbers = itertools.count()
        #: When to heal what, the next first.
        self._wounds: list[tuple[float, int, Stroke]] = []
        self.counts: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        """Let faults happen for so long, and heal all of them."""
        until = time.monotonic() + seconds
        due = time.monotonic() + self._rng.uniform(*PAUSE)
        while time.monotonic() < until:
            if time.monotonic() >= due:
                due += self._rng.uniform(*PAUSE)
                self._strike()
            self._heal(time.monotonic())
            self._world.replace_dead()
            time.sleep(TICK)
        self._heal(float("inf"))
        self._world.servers.clock.step(0.0)
        self._world.servers.ensure()

    def _strike(self) -> None:
        name = self._rng.choices([*FAULTS], [weight for weight, _ in FAULTS.values()])[0]
        number = next(self._numbers)
        # Numbers of its own: what one fault draws shifts no other's.
        stroke = FAULTS[name][1](self._world, random.Random(f"{self._seed}-{number}"))
        if stroke.target and any(other.target == stroke.target for _, _, other in self._wounds):
            return
        self.counts[name] += 1
        self._say(f"{name}: {stroke.detail}")
        self._try(stroke.strike)
        if stroke.heal is not None:
            heapq.heappush(self._wounds, (time.monotonic() + stroke.seconds, number, stroke))

    def _heal(self, now: float) -> None:
        while self._wounds and self._wounds[0][0] <= now:
            stroke = heapq.heappop(self._wounds)[2]
            if stroke.heal is not None:
                self._try(stroke.heal)

    def _try(self, action: Callable[[], object]) -> None:
        """Servers may be away, and processes gone, when their turn comes."""
        try:
            action()
        except Exception as error:  # noqa: BLE001
            self._say(f"(did not happen: {error!r})")
