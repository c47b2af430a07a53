"""The notifications that wait to be sent, between the threads that change jobs and the thread that sends."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django_jobs.realtime.rooms import group_of

#: An organization's key, an Execution Log row's id, a job's key.
Change = tuple[Any, int, int]
#: One message: ``changes`` has lists of [log id, job's key] by organization's key as text, ``floods`` the newest log
#: id by the same key, and each kind of ``events.CURRENT`` lists of jobs' keys by the same key.
Notification = dict[str, dict[str, Any]]

#: How many changes and jobs may wait.
MAX_WAITING: Final = 20_000
#: If one organization has more changes than this at once, they are a flood: not listed, but found by a poll of the log.
MAX_LISTED: Final = 100


class Outbox:
    """A bounded buffer, in which a job waits once for each kind of event. Changes of status are dropped last.

    It takes no lock, because a handler's thread may be interrupted anywhere.
    """

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self.limit = limit
        #: How much was dropped because the layer was too slow or away.
        self.dropped = 0
        self._changes: deque[Sequence[Change]] = deque()
        self._waiting = 0
        #: The organization's key by kind of event and job.
        self._updates: dict[tuple[str, int], Any] = {}

    def __bool__(self) -> bool:
        return bool(self._changes or self._updates)

    def add_changes(self, changes: Sequence[Change]) -> None:
        """Add changes of status. If they do not fit, drop what else waits; if they still do not fit, drop them."""
        if self._waiting + len(self._updates) + len(changes) > self.limit:
            self.dropped += len(self._updates)
            self._updates.clear()
            if self._waiting + len(changes) > self.limit:
                self.dropped += len(changes)
                return
        self._waiting += len(changes)
        self._changes.append(changes)

    def add_updates(self, kind: str, organizations: Mapping[int, Any]) -> None:
        """Add jobs of which this kind of event tells something new, with their organizations' keys, if they fit."""
        if self._waiting + len(self._updates) + len(organizations) > self.limit:
            self.dropped += len(organizations)
            return
        self._updates.update({(kind, job): organization for job, organization in organizations.items()})

    def take(self) -> dict[str, Notification]:
        """Remove and return all that waits: one message for each group of the layer."""
        changes: dict[Any, list[tuple[int, int]]] = defaultdict(list)
        while self._changes:
            for organization, log_id, job in self._changes.popleft():
                changes[organization].append((log_id, job))
        self._waiting = 0
        messages: dict[str, Notification] = {}
        for organization, found in changes.items():
            if len(found) > MAX_LISTED:
                _message_to(messages, organization)["floods"][str(organization)] = max(found)[0]
            else:
                _message_to(messages, organization)["changes"][str(organization)] = [list(change) for change in found]
        while self._updates:
            (kind, job), organization = self._updates.popitem()
            jobs = _message_to(messages, organization).setdefault(kind, {})
            jobs.setdefault(str(organization), []).append(job)
        return messages


def _message_to(messages: dict[str, Notification], organization: Any) -> Notification:
    return messages.setdefault(group_of(organization), {"changes": {}, "progress": {}, "floods": {}})


def count_of(message: Notification) -> int:
    """Return how many changes and jobs a message tells of. A flood counts as the fewest that make one."""
    listed = sum(len(items) for name, part in message.items() if name != "floods" for items in part.values())
    return listed + len(message["floods"]) * (MAX_LISTED + 1)
