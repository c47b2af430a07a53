"""What is to be told, between the threads that act and the one that tells."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django_jobs.realtime.rooms import group_of

Change = tuple[Any, int, int]
#: Per group, what its message holds: organization's key as text -> changes, -> jobs with progress, -> newest log id.
Bells = dict[str, dict[str, dict[str, Any]]]

MAX_WAITING: Final = 20_000
#: More changes than this of one organization at once are not listed: who listens looks into the log.
MAX_LISTED: Final = 100


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
        changes: dict[Any, list[tuple[int, int]]] = defaultdict(list)
        while self._changes:
            for organization, log_id, job in self._changes.popleft():
                changes[organization].append((log_id, job))
        self._waiting = 0
        bells: Bells = {}
        for organization, found in changes.items():
            if len(found) > MAX_LISTED:
                _of(bells, organization)["floods"][str(organization)] = max(found)[0]
            else:
                _of(bells, organization)["changes"][str(organization)] = [list(change) for change in found]
        while self._progress:
            job, organization = self._progress.popitem()
            _of(bells, organization)["progress"].setdefault(str(organization), []).append(job)
        return bells


def _of(bells: Bells, organization: Any) -> dict[str, dict[str, Any]]:
    return bells.setdefault(group_of(organization), {"changes": {}, "progress": {}, "floods": {}})


def count_of(bell: dict[str, dict[str, Any]]) -> int:
    """How much a message tells of; a flood counts as the least that makes one."""
    listed = sum(len(items) for what in ("changes", "progress") for items in bell[what].values())
    return listed + len(bell["floods"]) * (MAX_LISTED + 1)
