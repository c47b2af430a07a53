"""One reader of a process: what it hears from the channel layer and reads from the log goes to all its sockets."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.db import Error

from django_jobs.engine.access import may_hide_jobs
from django_jobs.engine.memory import Memory
from django_jobs.realtime import events
from django_jobs.realtime.database_threads import Batcher, DatabaseThread, with_reconnect
from django_jobs.realtime.events import BATCH, CURRENT, Event, Watermark
from django_jobs.realtime.identity import Identity, active_user
from django_jobs.realtime.protocol import REVOKED, TOO_MANY, TRY_AGAIN, all_groups, group_of
from django_jobs.realtime.rooms import (
    Target,
    UserAndJob,
    authorize_all,
    may_view,
    read_joins,
    reassigned,
    recheck_all,
)
from django_jobs.realtime.topics import EVERYBODY, Seen, Socket, Subscription, Topic, key_of

# This process's subscription to the channel layer: one channel, in the groups of what somebody here listens to.


logger = logging.getLogger("django_jobs")

LAYER_TIMEOUT: Final = 5.0
#: How often the channel is added to its groups again, in seconds: a layer may forget who is in a group.
REFRESH_SECONDS: Final = 10.0


class FailureLog:
    """Logs a part's failure once when it begins, and once when it is over."""

    def __init__(self) -> None:
        self._failing: set[str] = set()

    def __contains__(self, part: str) -> bool:
        return part in self._failing

    def failed(self, part: str, error: Exception) -> None:
        """Note that this part failed."""
        if part not in self._failing:
            self._failing.add(part)
            logger.warning("event=live_progress_failing part=%s error=%r", part, error)

    def worked(self, part: str) -> None:
        """Note that this part did its work."""
        if part in self._failing:
            self._failing.discard(part)
            logger.info("event=live_progress_works_again part=%s", part)


async def leave_replica(layer: Any, error: Exception) -> None:
    """End the lines of channels_redis to a server that takes no writes by now: its address may lead to another one."""
    if type(error).__name__ == "ReadOnlyError":
        for index in range(getattr(layer, "ring_size", 0)):
            await layer.connection(index).connection_pool.disconnect()


class LayerSubscription:
    """Receives notifications. ``wanted`` returns the groups to be in. Without a layer it does nothing."""

    def __init__(self, wanted: Callable[[], set[str]], failures: FailureLog) -> None:
        self._wanted = wanted
        self._failures = failures
        self._layer: Any = get_channel_layer()
        self._channel = ""
        self._groups: set[str] = set()
        self._lock = asyncio.Lock()
        self._refresh_at = 0.0

    @property
    def has_layer(self) -> bool:
        """Return whether the host has set up a channel layer."""
        return self._layer is not None

    async def open(self) -> bool:
        """Make sure of a channel in the wanted groups. Return True if notifications may have been missed before."""
        if not self._channel:
            self._channel = await self._layer.new_channel()
        if self._refresh_at and "layer" not in self._failures:
            return False
        self._refresh_at = 0.0
        return await self.follow()

    async def receive(self) -> dict[str, Any]:
        """Wait for the next notification and return it."""
        try:
            message: dict[str, Any] = await self._layer.receive(self._channel)
        except Exception as error:
            await leave_replica(self._layer, error)
            raise
        return message

    async def follow(self) -> bool:
        """Join the groups that are wanted now and leave all others. Return whether that succeeded."""
        if self._layer is None or not self._channel:
            return True  # `open` follows as soon as there is a channel
        if self._wanted() == self._groups and time.monotonic() < self._refresh_at:
            return True
        try:
            async with self._lock, asyncio.timeout(LAYER_TIMEOUT):
                await self._change_groups()
        except Exception as error:  # noqa: BLE001  (whatever a layer raises: the log is polled without it)
            self._failures.failed("layer", error)
            await leave_replica(self._layer, error)
            return False
        self._failures.worked("layer")
        return True

    async def _change_groups(self) -> None:
        """Change the groups, under the lock, so that no caller leaves a group that another one has just joined."""
        if time.monotonic() >= self._refresh_at:
            self._groups.clear()
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
        wanted = self._wanted()
        for group in wanted - self._groups:
            await self._layer.group_add(group, self._channel)
            self._groups.add(group)
        for group in self._groups - wanted:
            self._groups.discard(group)
            await self._layer.group_discard(group, self._channel)


# Delivering events to those who listen: each event once, and to nobody from whom the policy hides the job.


#: How long an answer of the policy is kept: a job may tell of its progress twice a second.
ANSWER_SECONDS: Final = 5.0
_answers: Final[Memory[UserAndJob, bool]] = Memory(50_000)


async def hidden_from(
    read: Callable[..., Awaitable[dict[UserAndJob, bool]]], wanted: Callable[[], Mapping[UserAndJob, Any]]
) -> Collection[UserAndJob]:
    """Return those of the wanted (user, job) pairs whose job the policy hides from the user.

    ``read`` calls a function in a thread that may use the database. ``wanted`` is called until each of its pairs has an
    answer, because sockets join while the policy is asked. Nothing is awaited after its last call, so the answer is
    complete when this returns.
    """
    if not may_hide_jobs():
        return ()
    found: dict[UserAndJob, bool] = {}
    while missing := {pair: user for pair, user in wanted().items() if pair not in found}:
        known = {pair: _answers.fresh(pair) for pair in missing}
        found |= {pair: is_shown for pair, is_shown in known.items() if is_shown is not None}
        new = {pair: user for pair, user in missing.items() if pair not in found}
        for pair, is_shown in (await read(may_view, new) if new else {}).items():
            found[pair] = _answers.put(pair, is_shown, ANSWER_SECONDS)
    return {pair for pair, is_shown in found.items() if not is_shown}


class FanOut:
    """Delivers events to the hub's ``topics``. ``thread`` asks the database about rights."""

    def __init__(self, topics: Mapping[str, Topic], thread: DatabaseThread) -> None:
        #: The ids of the events that were delivered.
        self.seen: Seen[int] = Seen()
        #: The attempts (job, attempt) that were shown at 100 %.
        self._filled: Seen[tuple[int, int] | None] = Seen()
        self._topics = topics
        self._thread = thread

    def topics_of(self, key: str) -> list[Topic]:
        """Return the topics to which the events of an organization belong: its own, and everybody's."""
        return [self._topics[item] for item in (key, EVERYBODY) if item in self._topics]

    async def deliver(self, events: Sequence[Event]) -> None:
        """Deliver events, each to those who listen and may hear of its job."""
        await self._end_reassigned(events)
        hidden = await hidden_from(self._thread.read, lambda: self._audience(events))
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
                subscription.socket.revoke(target, "renamed")

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


# What notifications told of since the database was last read, sorted by the topics that it belongs to.


#: By topic: the jobs by the ids of their new events.
Changes = dict[str, dict[int, int]]
#: By kind of event (``events.CURRENT``): the jobs, or batches, of which it tells something new.
Jobs = dict[str, set[int]]
#: Seconds between two events of one batch. The engine keeps to that as far as it can, for all processes together.
BATCH_PAUSE: Final = 0.5


class PendingEvents:
    """Ids of events to be read. ``is_filled`` is set while there are some."""

    def __init__(self) -> None:
        self.is_filled = asyncio.Event()
        self._changes: Changes = defaultdict(dict)
        self._jobs: Jobs = defaultdict(set)
        #: When the batches of the last moments were taken, on the monotonic clock.
        self._taken: dict[int, float] = {}

    def add(self, notification: Mapping[str, Any], topics_of: Callable[[str], Iterable[Topic]]) -> None:
        """Add what a notification tells of. ``topics_of`` returns the topics of an organization's key."""
        for key, changes in notification.get("changes", {}).items():
            for topic in topics_of(key):
                self._changes[topic.key].update((log_id, job) for log_id, job in changes if topic.includes(job))
        for kind in CURRENT:
            for key, jobs in notification.get(kind, {}).items():
                for topic in topics_of(key):
                    self._jobs[kind].update(job for job in jobs if topic.wants(kind, job))
        if self._changes or self._jobs:
            self.is_filled.set()

    def add_batch(self, pk: int) -> None:
        """Have a batch be read anew, for those who may have missed something of it."""
        self._jobs[BATCH].add(pk)
        self.is_filled.set()

    def take(self) -> tuple[Changes, Jobs]:
        """Return what is pending, and forget it. A batch that was taken just now stays until its pause is over."""
        self.is_filled.clear()
        changes, self._changes = self._changes, defaultdict(dict)
        jobs, self._jobs = self._jobs, defaultdict(set)
        if BATCH in jobs:
            self._hold_back(jobs)
        return changes, jobs

    def _hold_back(self, jobs: Jobs) -> None:
        now = time.monotonic()
        self._taken = {pk: taken for pk, taken in self._taken.items() if now - taken < BATCH_PAUSE}
        early = jobs[BATCH] & self._taken.keys()
        due = jobs.pop(BATCH) - early
        self._taken.update(dict.fromkeys(due, now))
        if due:
            jobs[BATCH] = due
        if early:
            self._jobs[BATCH] = early
            wait = min(self._taken[pk] for pk in early) + BATCH_PAUSE - now
            asyncio.get_running_loop().call_later(wait, self.is_filled.set)


# The open sockets of an event loop: how many a user has, and whether their users may still listen.


#: How many sockets a user may have open at once in a server process.
SOCKETS_A_USER: Final = 20
#: How many sockets are checked at once. The others are checked in the next second.
SOCKETS_A_TICK: Final = 250


class Presence:
    """The sockets of one event loop. ``thread`` is the only one that uses the database for them."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread
        self._sockets: set[Socket] = set()
        #: Those that were let in, by their users' keys.
        self._let_in: defaultdict[Any, set[Socket]] = defaultdict(set)
        self._handshakes = Batcher(thread, complete)

    def __bool__(self) -> bool:
        return bool(self._sockets)

    def enter(self, socket: Socket, pause: float) -> None:
        """Add a socket, whose first check is due before ``pause`` seconds have passed."""
        socket.recheck_at = time.monotonic() + pause * random.uniform(0.6, 1.0)  # noqa: S311
        self._sockets.add(socket)

    def leave(self, socket: Socket) -> None:
        """Remove a socket."""
        self._sockets.discard(socket)
        if socket.user is not None:
            self._let_in[socket.user.pk].discard(socket)
            if not self._let_in[socket.user.pk]:
                del self._let_in[socket.user.pk]

    async def accept(self, socket: Socket) -> int:
        """Give the socket its user. Return the code to close it with, or 0 if it stays."""
        handshake = await self._handshakes.ask(Handshake(socket.identity))
        socket.identity, socket.user = handshake.identity, handshake.user
        if handshake.code:
            return handshake.code
        of_user = self._let_in[socket.user.pk]
        if len(of_user) >= SOCKETS_A_USER:
            return TOO_MANY
        of_user.add(socket)
        return 0

    async def recheck(self, pause: float) -> None:
        """Check the rights of the sockets whose check is due. They are due again in ``pause`` seconds."""
        now = time.monotonic()
        # A socket without a user is still in its handshake.
        due = [item for item in self._sockets if item.recheck_at <= now and item.user is not None]
        due = sorted(due, key=lambda item: item.recheck_at)[:SOCKETS_A_TICK]  # the longest due first, so none starves
        for socket in due:
            socket.recheck_at = now + pause * random.uniform(0.8, 1.0)  # noqa: S311
        if due:
            await self._recheck(due)

    async def _recheck(self, sockets: Sequence[Socket]) -> None:
        questions = [(socket.identity, socket.targets()) for socket in sockets]
        answers = await self._thread.read(recheck_all, questions)
        for socket, answer in zip(sockets, answers, strict=True):
            if isinstance(answer, int):
                socket.close(answer)
                continue
            socket.user = answer.user  # with the rights that the user has now
            for target in socket.targets():
                if target in answer.asked and target not in answer.held:
                    socket.revoke(target)


# Sockets that just connected: who opens them.
#
# All that connect at the same moment are handled together, in one call in a database thread.


@dataclass(slots=True, eq=False)
class Handshake:
    """A socket that just connected. ``code`` is the code to close it with, or 0.

    What was found out is kept here, so that no ticket is used a second time when the rest is tried again.
    """

    identity: Identity
    #: Whether the ticket was looked up, with an answer or without.
    is_asked: bool = False
    user: Any = None
    code: int = 0
    error: Exception | None = None


def complete(handshakes: Sequence[Handshake]) -> list[Handshake | Exception]:
    """Find the users of these sockets. Return each handshake, or the error that it met.

    Equal identities are looked up once. An error is noted at its handshake, so that the others go on.
    """
    users: dict[Any, Any] = {}
    for handshake in handshakes:
        try:
            with_reconnect(_identify, handshake, users)
        except Error as error:
            logger.warning("event=socket_refused error=%s", type(error).__name__)
            handshake.code = TRY_AGAIN
        except Exception as error:  # noqa: BLE001  (raised where the socket waits)
            handshake.error = error
    return [handshake.error or handshake for handshake in handshakes]


def _identify(handshake: Handshake, users: dict[Any, Any]) -> None:
    was_asked, handshake.is_asked = handshake.is_asked, True
    redeemed = handshake.identity.redeemed()
    if redeemed is None:
        # Asked a second time because an answer was lost: the first time the ticket may have been good and used up.
        handshake.code = TRY_AGAIN if was_asked else REVOKED
        return
    handshake.identity = redeemed  # no ticket any more, which another try would look up again
    key = handshake.identity.key
    if key not in users:
        users[key] = active_user(handshake.identity)
    if isinstance(users[key], int):
        handshake.code = users[key]
    else:
        handshake.user = users[key]


# What the sockets of one event loop share: one layer subscription, one reader of the log, one check of rights.


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
        self.joins = Batcher(self.rights_thread, read_joins)
        self._watermarks = Batcher(self.events_thread, events.first_watermarks)
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
    def current(cls) -> Hub:
        """Return the running loop's hub."""
        loop = asyncio.get_running_loop()
        hub = cls._hubs.get(loop)
        if hub is None:
            hub = cls._hubs[loop] = cls()
        return hub

    async def leave(self, socket: Socket) -> None:
        """Remove a socket and its subscriptions. With the last socket the hub ends."""
        for subscription in socket.subscriptions.values():
            self.unsubscribe(subscription)
        self.presence.leave(socket)
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

    async def subscribe(self, socket: Socket, target: Target) -> Subscription:
        """Subscribe to the target from now on. The subscription keeps events until it goes live."""
        subscription = Subscription(socket, target)
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
        found = await self.events_thread.read(events.ids_of_jobs, jobs, min(topic.floor for topic in topics))
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
        found, new_watermark = await self.events_thread.read(events.poll, topic.organization_pk, watermark)
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
