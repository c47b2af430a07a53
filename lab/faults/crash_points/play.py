"""Plays a scenario, with and without harm, and judges what is left when others have recovered from it."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import redis
from django.db import connection

from lab.faults.audit import audit
from lab.faults.crash_points.boundaries import Boundary, Harm
from lab.faults.crash_points.processes import Ending, Processes
from lab.faults.crash_points.recovery import recover
from lab.faults.crash_points.scenario import LOST, Scenario
from lab.faults.crash_points.snapshots import snapshot
from lab.faults.crash_points.world import begin_anew, files_of_nobody, fill_the_broker
from tests.support import record as records


class Play:
    """One scenario, played again and again."""

    def __init__(self, scenario: Scenario, processes: Processes, client: redis.Redis) -> None:
        self._scenario = scenario
        self._processes = processes
        self._redis = client
        self._record = Path(os.environ[records.VARIABLE])
        self._given: object = None
        #: What was left behind, and how the process ended, where the recovery found nothing wrong.
        self._good: set[str] = set()

    def record(self) -> list[Boundary]:
        """Return the boundaries, as they come without any harm."""
        ending = self._played(0, Harm.NONE, look=self._look)
        if found := self.findings(ending):
            raise AssertionError(f"{self._scenario.name} without any harm: {found}")
        return ending.seen

    def harmed(self, at: int, harm: Harm) -> Ending:
        """Play it from its beginning, with a harm at one boundary."""
        return self._played(at, harm)

    def _look(self) -> str:
        """What is stored, as a thread of the lines sees it."""
        try:
            return snapshot(self._redis)
        finally:
            if threading.current_thread() is not threading.main_thread():
                connection.close()

    def _played(self, at: int, harm: Harm, look: Callable[[], str] | None = None) -> Ending:
        begin_anew(self._redis)
        self._record.unlink(missing_ok=True)
        self._given = self._scenario.prepare()
        if self._scenario.is_full:
            fill_the_broker()
        return self._processes.run(self._scenario.name, self._given, at, harm, random.randrange(2**32), look)

    def findings(self, ending: Ending) -> list[str]:
        """Return what is wrong after the recovery from an ending; from equal ones, only once."""
        left = json.dumps([snapshot(self._redis), ending.is_dead, ending.raised[:1], ending.has_returned])
        if left in self._good:
            return []
        found = list(self._all_findings(ending))
        if not found:
            self._good.add(left)
        return found

    def _all_findings(self, ending: Ending) -> Iterator[str]:
        if ending.raised and (not ending.is_hit or LOST.isdisjoint(ending.raised)):
            yield f"It raised {ending.text}."
        self._scenario.before_recovery(self._given, ending)
        recover(self._scenario.duties)
        yield from self._scenario.check(self._given, ending)
        yield from audit(record=self._record)
        yield from files_of_nobody()
