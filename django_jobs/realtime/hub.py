"""What the sockets of one event loop share: one layer subscription, one reader of the log, one check of rights."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from django_jobs.realtime import event_log, events, joins
from django_jobs.realtime.authorization import Target, authorize_all
from django_jobs.realtime.database_threads import Batcher, DatabaseThread
from django_jobs.realtime.event_log import Watermark
from django_jobs.realtime.fan_out import FanOut
from django_jobs.realtime.layer_subscription import FailureLog, LayerSubscription
from django_jobs.realtime.pending_events import PendingEvents
from django_jobs.realtime.presence import Presence
from django_jobs.realtime.rooms import all_groups, group_of
from django_jobs.realtime.topics import EVERYBODY, Subscriber, Subscription, Topic, key_of

TICK_SECONDS: Final = 1.0
#: Notifications within this time are read together; after a long reading, those within as long as that reading took.
#: So at most half of the time goes into reading.
GATHER_SECONDS: Final = 0.05
MAX_GATHER_SECONDS: Final = 0.5
#: How often a topic's log is polled.
POLL_SECONDS: Final = 20.0
#: After a flood of changes, which lists no ids, the log is polled within this time.
FLOOD_SECONDS: Final = 1.0
#: How often the rights of a socket are checked.
RECHECK_SECONDS: Final = 40.0
#: If a topic has more new events at once, its clients are told to read REST instead.
MAX_NEW: Final = 1_000
#: How many topics a tick polls. If more are due, the next tick comes sooner.
TOPICS_A_TICK: Final = 50


class Hub:
    """One event loop's hub. It lives as long as the loop has sockets."""

    _hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()

    def __init__(self) -> None:
        # Two threads, so that joins and rights do not wait for events, nor events for them.
        self.rights_thread = DatabaseThread("jobs-rights")
        self.events_thread = DatabaseThread("jobs-events")
        self.presence = Presence(self.rights_thread)
        self.authorizations = Batcher(self.rights_thread, authorize_all)
        self.joins = Batcher(self.rights_thread, joins.read_all)
        self._watermarks = Batcher(self.events_thread, event_log.first_watermarks)
        self._topics: dict[str, Topic] = {}
        self._failures = FailureLog()
        self._layer = LayerSubscription(self._wanted_groups, self._failures)
        self._fan_out = FanOut(self._topics, self.rights_thread)
        self._pending = PendingEvents()
        self._gather_seconds, self._tick_seconds = GATHER_SECONDS, TICK_SECONDS
        duties = {
            "listen": self._listen,
            "read": self._read,
            "poll": self._poll_due,
            "recheck": self._recheck,
        }
        self._tasks = [asyncio.create_task(self._guarded(part, duty)) for part, duty in duties.items()]

    @classmethod
    def enter(cls, subscriber: Subscriber) -> Hub:
        """Add a socket to the running loop's hub, and return the hub."""
        loop = asyncio.get_running_loop()
        hub = cls._hubs.get(loop)
        if hub is None:
            hub = cls._hubs[loop] = cls()
        hub.presence.enter(subscriber, RECHECK_SECONDS)
        return hub

    async def leave(self, subscriber: Subscriber, subscriptions: Iterable[Subscription]) -> None:
        """Remove a socket and its subscriptions. With the last socket the hub ends."""
        for subscription in subscriptions:
            self.unsubscribe(subscription)
        self.presence.leave(subscriber)
        loop = asyncio.get_running_loop()
        if self.presence or self._hubs.get(loop) is not self:
            return
        del self._hubs[loop]
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._layer.follow()
        finally:  # also when the server cancels this task, which is closed already
            self.rights_thread.close()
            self.events_thread.close()

    # -- subscriptions ---------------------------------------------------------------------------------------------

    async def subscribe(self, subscriber: Subscriber, target: Target) -> Subscription:
        """Subscribe to the target from now on. The subscription keeps events until it goes live."""
        subscription = Subscription(subscriber, target)
        key = key_of(target)
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(key, target.organization_pk)
            topic.poll_at = time.monotonic() + POLL_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311
        topic.add(subscription)
        await self._layer.follow()
        if topic.watermark is None:
            await self._watermark(topic)
        return subscription

    async def _watermark(self, topic: Topic) -> Watermark:
        """Return where the topic's polls begin: at the moment of its first subscription."""
        watermark, floor = await self._watermarks.ask(topic.organization_pk)
        if topic.watermark is None:
            topic.watermark, topic.floor = watermark, floor
        return topic.watermark

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a subscription, and its topic with the last one."""
        key = key_of(subscription.target)
        topic = self._topics.get(key)
        if topic is not None:
            topic.remove(subscription)
            if not topic.rooms:
                del self._topics[key]

    def tell_anew(self, subscription: Subscription) -> None:
        """Have all in a batch's room be told what it does now, since this one may have missed it."""
        self._pending.add_batch(subscription.target.batch_pk or 0)

    def _wanted_groups(self) -> set[str]:
        if EVERYBODY in self._topics:
            return set(all_groups())
        return {group_of(topic.organization_pk) for topic in self._topics.values()}

    # -- the tasks -------------------------------------------------------------------------------------------------

    async def _guarded(self, part: str, duty: Callable[[], Awaitable[None]]) -> None:
        """Do a duty again and again. After a failure it is tried again a second later."""
        while True:
            try:
                await duty()
            except Exception as error:  # noqa: BLE001
                self._failures.failed(part, error)
                await asyncio.sleep(TICK_SECONDS)

    async def _listen(self) -> None:
        """Receive one notification from the layer."""
        if not self._layer.has_layer:
            await asyncio.sleep(POLL_SECONDS)
            return
        if await self._layer.open():
            self._poll_soon()
        notification = await self._layer.receive()
        for key in notification.get("floods", {}):
            for topic in self._fan_out.topics_of(key):
                topic.poll_at = min(topic.poll_at, time.monotonic() + FLOOD_SECONDS)
        self._pending.add(notification, self._fan_out.topics_of)

    def _poll_soon(self) -> None:
        """Poll all topics within two seconds, because notifications may have been missed."""
        for topic in self._topics.values():
            topic.poll_at = min(topic.poll_at, time.monotonic() + 2 * random.random())  # noqa: S311

    async def _read(self) -> None:
        """Read what notifications told of, once for all topics, and deliver it."""
        await self._pending.is_filled.wait()
        await asyncio.sleep(self._gather_seconds)
        started = time.monotonic()
        changes, current = self._pending.take()
        for key in [key for key, log_ids in changes.items() if len(log_ids) > MAX_NEW]:
            del changes[key]  # whoever writes to the layer may name any ids, so the log says how many there are
            if topic := self._topics.get(key):
                topic.poll_at = min(topic.poll_at, started)
        try:
            await self._deliver_changes(changes)
            for kind, jobs in current.items():
                await self._fan_out.deliver(await self.events_thread.read(events.CURRENT[kind], jobs))
        except Exception:
            self._poll_soon()
            raise
        self._gather_seconds = min(max(GATHER_SECONDS, time.monotonic() - started), MAX_GATHER_SECONDS)
        self._failures.worked("read")

    async def _deliver_changes(self, changes: Mapping[str, Mapping[int, int]]) -> None:
        topics = [self._topics[key] for key in changes if key in self._topics]
        jobs = {job for changed in changes.values() for job in changed.values()}
        if not topics or not jobs:
            return
        found = await self.events_thread.read(event_log.ids_of_jobs, jobs, min(topic.floor for topic in topics))
        named = {log_id for changed in changes.values() for log_id in changed}
        unseen = self._fan_out.seen.unseen({*found, *named})
        await self._fan_out.deliver(await self.events_thread.read(events.status_events, unseen))

    async def _poll_due(self) -> None:
        """Poll the topics that are due, the longest due first, so that none starves."""
        await asyncio.sleep(self._tick_seconds)
        now = time.monotonic()
        waiting = [topic for topic in self._topics.values() if topic.poll_at <= now]
        due = sorted(waiting, key=lambda topic: topic.poll_at)
        await self._layer.follow()
        for topic in due[:TOPICS_A_TICK]:
            topic.poll_at = now + POLL_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311
            await self._poll(topic)
            await self._poll_batches(topic)
        is_behind = len(due) > TOPICS_A_TICK  # then half of the time is left to other tasks
        self._tick_seconds = min(TICK_SECONDS, time.monotonic() - now) if is_behind else TICK_SECONDS
        self._failures.worked("poll")

    async def _poll(self, topic: Topic) -> None:
        """Deliver what no notification told of: it was lost in the layer, or never reached it."""
        watermark = topic.watermark or await self._watermark(topic)
        found, new_watermark = await self.events_thread.read(event_log.poll, topic.organization_pk, watermark)
        topic.passed_over.intersection_update(found)
        unseen = [log_id for log_id in self._fan_out.seen.unseen(found) if log_id not in topic.passed_over]
        if len(unseen) > MAX_NEW:
            topic.pass_over(unseen)
            topic.watermark = new_watermark
            return
        await self._fan_out.deliver(await self.events_thread.read(events.status_events, unseen))
        topic.watermark = new_watermark  # only after delivery: what failed is found by the next poll
        if topic.organization_pk is None:
            return
        before = topic.progress
        running = await self.events_thread.read(events.running_progress, topic.organization_pk)
        topic.progress = {event.job_pk: state for event, state in running}
        await self._fan_out.deliver([event for event, state in running if before.get(event.job_pk) != state])

    async def _poll_batches(self, topic: Topic) -> None:
        """Have those batches be told anew that do something else now than was told last."""
        if topic.batch_rooms:
            for pk in topic.outdated(await self.events_thread.read(events.batch_events, list(topic.batch_rooms))):
                self._pending.add_batch(pk)

    async def _recheck(self) -> None:
        await asyncio.sleep(TICK_SECONDS)
        await self.presence.recheck(RECHECK_SECONDS)
        self._failures.worked("recheck")
