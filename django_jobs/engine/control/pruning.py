"""All pruners together: that of the types for which RETENTION_DAYS counts, and one for each type with its own days."""

from __future__ import annotations

import time

from django_jobs.engine.control.retention import Pruner, rest_for
from django_jobs.engine.control.type_retention import TypePruner
from django_jobs.engine.job_types.retention_days import own_retention_days


class Pruning:
    """Deletes jobs that ended long ago. ``days`` take the place of RETENTION_DAYS, not of what a type says."""

    def __init__(self, days: float | None = None, *, is_thorough: bool = False) -> None:
        #: Whether each pruner came to the end of its pass; the next call begins new passes then.
        self.is_through = False
        self._is_thorough = is_thorough
        self._others = Pruner(days, is_thorough=is_thorough)
        self._of_types: dict[str, TypePruner] = {}
        #: The pruners whose passes have ended.
        self._done: set[TypePruner | Pruner] = set()

    def rest(self) -> float:
        """Return for how long to rest after a second of work: one second, and the less the further this is behind."""
        return min(self._others.rest(), *(rest_for(pruner.behind) for pruner in self._of_types.values()), 1.0)

    def prune(self, seconds: float) -> int:
        """Delete old jobs until the end of all passes, for so many seconds; return how many.

        Each type has its share of the time. What it leaves is for the others.
        """
        self._read_types()
        if self.is_through:
            self.is_through = False
            self._done.clear()
        until, total = time.monotonic() + seconds, 0
        all_of_them: list[TypePruner | Pruner] = [*self._of_types.values(), self._others]
        todo = [pruner for pruner in all_of_them if pruner not in self._done]
        for place, pruner in enumerate(todo):
            total += pruner.prune((until - time.monotonic()) / (len(todo) - place))
            if pruner.is_through:
                self._done.add(pruner)
        self.is_through = self._done.issuperset(all_of_them)
        return total

    def _read_types(self) -> None:
        days = own_retention_days()
        self._of_types = {
            name: self._of_types.get(name) or TypePruner(name, own, is_thorough=self._is_thorough)
            for name, own in days.items()
        }
        for name, pruner in self._of_types.items():
            pruner.days = days[name]
