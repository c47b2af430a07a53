"""Delivering events to those who listen: each event once, and to nobody from whom the policy hides the job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from django_jobs.engine.access import may_hide_jobs
from django_jobs.engine.memory import Memory
from django_jobs.realtime.authorization import UserAndJob, may_view, reassigned
from django_jobs.realtime.database_threads import DatabaseThread
from django_jobs.realtime.events import Event
from django_jobs.realtime.topics import EVERYBODY, Seen, Topic

#: How long an answer of the policy is kept: a job may tell of its progress twice a second.
ANSWER_SECONDS: Final = 5.0
MAX_REMEMBERED: Final = 50_000


class FanOut:
    """Delivers events to the hub's ``topics``. ``thread`` asks the database about rights."""

    def __init__(self, topics: Mapping[str, Topic], thread: DatabaseThread) -> None:
        #: The ids of the events that were delivered.
        self.seen: Seen[int] = Seen()
        #: The attempts (job, attempt) that were shown at 100 %.
        self._filled: Seen[tuple[int, int] | None] = Seen()
        self._topics = topics
        self._thread = thread
        self._visibility = VisibilityCache(thread.read)

    def topics_of(self, key: str) -> list[Topic]:
        """Return the topics to which the events of an organization belong: its own, and everybody's."""
        return [self._topics[item] for item in (key, EVERYBODY) if item in self._topics]

    async def deliver(self, events: Sequence[Event]) -> None:
        """Deliver events, each to those who listen and may hear of its job."""
        await self._end_reassigned(events)
        hidden = await self._visibility.hidden(lambda: self._audience(events))
        for event in events:
            self._deliver(event, hidden)

    def _audience(self, events: Sequence[Event]) -> dict[UserAndJob, Any]:
        users: dict[UserAndJob, Any] = {}
        for event in (item for item in events if item.batch_pk is None):
            for topic in self.topics_of(str(event.organization_pk)):
                users |= topic.audience(event.job_pk)
        return users

    async def _end_reassigned(self, events: Sequence[Event]) -> None:
        """End the rooms that were joined by an id which belongs to another organization by now."""
        ids = {(str(event.organization_pk), event.organization) for event in events}
        old = {target for key, now in ids if key in self._topics for target in self._topics[key].under_other_id(now)}
        for target in await self._thread.read(reassigned, old) if old else ():
            topic = self._topics.get(str(target.organization_pk))
            room = topic.rooms.get(target.room) if topic is not None else None
            for subscription in list(room.subscriptions) if room is not None else ():
                subscription.subscriber.revoke(target, "renamed")

    def _deliver(self, event: Event, hidden: Collection[UserAndJob]) -> None:
        """Deliver to the topics of the organization that the event's row names, whatever the notification said."""
        if event.id and not self.seen.add(event.id):
            return
        if event.before is not None and event.before.filled not in self._filled:
            self._deliver(event.before, hidden)
        if event.filled is not None:
            self._filled.add(event.filled)
        for topic in self.topics_of(str(event.organization_pk)):
            topic.deliver(event, hidden)


class VisibilityCache:
    """The policy's answers of the last seconds. ``read`` calls a function in a thread that may use the database."""

    def __init__(self, read: Callable[..., Awaitable[dict[UserAndJob, bool]]]) -> None:
        self._read = read
        self._answers: Memory[UserAndJob, bool] = Memory(MAX_REMEMBERED)

    async def hidden(self, wanted: Callable[[], Mapping[UserAndJob, Any]]) -> Collection[UserAndJob]:
        """Return those of the wanted (user, job) pairs whose job is hidden from the user.

        ``wanted`` is called until each of its pairs has an answer, because sockets join while the policy is asked.
        Nothing is awaited after its last call, so the answer is complete when this returns.
        """
        if not may_hide_jobs():
            return ()
        found: dict[UserAndJob, bool] = {}
        while missing := {pair: user for pair, user in wanted().items() if pair not in found}:
            known = {pair: self._answers.fresh(pair) for pair in missing}
            found |= {pair: is_shown for pair, is_shown in known.items() if is_shown is not None}
            new = {pair: user for pair, user in missing.items() if pair not in found}
            for pair, is_shown in (await self._read(may_view, new) if new else {}).items():
                found[pair] = self._answers.put(pair, is_shown, ANSWER_SECONDS)
        return {pair for pair, is_shown in found.items() if not is_shown}
