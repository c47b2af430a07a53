"""What is to be told, between the threads that act and the one that tells."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django_jobs.realtime.rooms import group_of

Change = tuple[Any, int, int]
#: Per group, what its message holds: organization's key as text -> changes, and -> jobs with progress.
Bells = dict[str, dict[str, dict[str, list[Any]]]]

MAX_WAITING: Final = 20_000


class Outbox:
    """Bounded; the latest progress of a job replaces the one before; when full, progress goes first.

    Nothing here takes a lock: a handler's thread may be interrupted anywhere.
    """

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self.limit = limit
        #: How much was never told because the layer was too slow or away.
        self.dropped = 0
        self._changes: deque[Sequence[Change]] = deque()
        self._waiting = 0
        self._progress: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._changes or self._progress)

    def add_changes(self, changes: Sequence[Change]) -> None:
        if self._waiting + len(self._progress) + len(changes) > self.limit:
            self.dropped += len(self._progress)
            self._progress.clear()
            if self._waiting + len(changes) > self.limit:
                self.dropped += len(changes)
                return
        self._waiting += len(changes)
        self._changes.append(changes)

    def add_progress(self, organizations: Mapping[int, Any]) -> None:
        if self._waiting + len(self._progress) + len(organizations) > self.limit:
            self.dropped += len(organizations)
            return
        self._progress.update(organizations)

    def take(self) -> Bells:
        """All that waits, as one message for each group."""
        bells: Bells = {}
        while self._changes:
            for organization, log_id, job in self._changes.popleft():
                _of(bells, organization, "changes").append([log_id, job])
        self._waiting = 0
        while self._progress:
            job, organization = self._progress.popitem()
            _of(bells, organization, "progress").append(job)
        return bells


def _of(bells: Bells, organization: Any, what: str) -> list[Any]:
    group = bells.get(group_of(organization))
    if group is None:
        group = bells[group_of(organization)] = {"changes": defaultdict(list), "progress": defaultdict(list)}
    return group[what][str(organization)]
