"""Sockets of this process, and what they listen to: a topic for each organization, with the rooms that they joined."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from django_jobs.realtime import protocol
from django_jobs.realtime.events import BATCH, Event, Watermark
from django_jobs.realtime.identity import Identity
from django_jobs.realtime.rooms import Target, UserAndJob

K = TypeVar("K", bound=Hashable)

#: The key of the topic for those who listen to everybody's jobs.
EVERYBODY: Final = ""
#: How many keys :class:`Seen` remembers. An older event may be told again, and clients drop it.
REMEMBERED: Final = 50_000


def key_of(target: Target) -> str:
    """Return the key of the topic that the target belongs to."""
    return EVERYBODY if target.organization_pk is None else str(target.organization_pk)


class Seen(Generic[K]):
    """The last REMEMBERED keys that were added."""

    def __init__(self) -> None:
        self._items: set[K] = set()
        self._order: deque[K] = deque()

    def __contains__(self, item: K) -> bool:
        return item in self._items

    def add(self, item: K) -> bool:
        """Remember the key. Return whether it was new."""
        if item in self._items:
            return False
        self._items.add(item)
        self._order.append(item)
        if len(self._order) > REMEMBERED:
            self._items.discard(self._order.popleft())
        return True

    def unseen(self, items: Iterable[K]) -> list[K]:
        """Return those of the keys that are not remembered."""
        return [item for item in items if item not in self._items]


class Subscription:
    """One socket in one room. Until the missed events are sent, later ones wait here."""

    def __init__(self, socket: Socket, target: Target) -> None:
        self.socket = socket
        self.target = target
        #: The highest id that the client was told.
        self.last_id = 0
        self._waiting: list[tuple[int, str]] | None = []

    @property
    def room(self) -> str:
        """Return the room's name."""
        return self.target.room

    @property
    def is_live(self) -> bool:
        """Return whether events are sent at once."""
        return self._waiting is None

    def deliver(self, event_id: int, text: str) -> None:
        """Send a frame, or keep it until the subscription is live. ``event_id`` is 0 for events without an id."""
        if self._waiting is None:
            if self.target.job_pk is not None and 0 < event_id <= self.last_id:
                return  # the ids of one job increase, so the client knows this event
            self.last_id = max(self.last_id, event_id)
            self.socket.put(text)
        else:
            self._waiting.append((event_id, text))

    def go_live(self, replayed: set[int]) -> bool:
        """Send what waits here, but for the ``replayed`` ids. From now on send everything at once.

        Return True where the state is to be told anew: what waits for a batch's room has no order, so it may be older
        than the state that the client was told meanwhile, and is not sent.
        """
        waiting, self._waiting = self._waiting or [], None
        if self.target.batch_pk is not None:
            return bool(waiting)
        for event_id, text in waiting:
            if event_id not in replayed:
                self.deliver(event_id, text)
        return False


# What one client is sent: frames in order, without anybody waiting for a slow client.


#: How many frames wait for a slow client. Beyond that they are dropped, and the client is told to read REST.
MAX_OUTBOX: Final = 2_000
#: While more frames than this wait, no frame of the client is read.
BUSY_OUTBOX: Final = 200

Send = Callable[[dict[str, Any]], Awaitable[None]]
Listener = Callable[["Subscription"], None]


class Socket:
    """The sending side of one connection, with its user and its subscriptions.

    ``on_revoked`` is called with a subscription that ended, ``on_gap`` with that of a batch's room of which something
    was dropped.
    """

    def __init__(self, send: Send, identity: Identity, on_revoked: Listener, on_gap: Listener) -> None:
        self.identity = identity
        #: As of the last check; None before the first one.
        self.user: Any = None
        #: When the rights are checked next, on the monotonic clock.
        self.recheck_at = 0.0
        #: By the room's name.
        self.subscriptions: dict[str, Subscription] = {}
        self._on_revoked = on_revoked
        self._on_gap = on_gap
        #: Called when the socket begins to close: what waits is sent before, which a slow client could put off.
        self.on_close: Callable[[], None] | None = None
        self._send = send
        self._outbox: deque[str] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._close_code: int | None = None
        self.is_closed = False

    def put(self, text: str) -> None:
        """Queue a frame for the client. If MAX_OUTBOX frames wait, drop them and tell the client to read REST."""
        if self.is_closed:
            return
        if len(self._outbox) >= MAX_OUTBOX:
            self._start_over()
        self._outbox.append(text)
        self._filled.set()

    def targets(self) -> list[Target]:
        """Return what the socket listens to."""
        return [subscription.target for subscription in self.subscriptions.values()]

    def revoke(self, target: Target, reason: str = "forbidden") -> None:
        """End the subscription to this target and tell the client why."""
        subscription = self.subscriptions.pop(target.room, None)
        if subscription is not None:
            self._on_revoked(subscription)
            self.put(protocol.left(target.room, reason))

    def close(self, code: int) -> None:
        """Close the socket with this code once the frames that wait are sent."""
        if self._close_code is None:
            self._close_code = code
            self._filled.set()
            if self.on_close is not None:
                self.on_close()

    async def ready(self) -> None:
        """Wait until at most BUSY_OUTBOX frames wait for the client, or the socket is closed."""
        while len(self._outbox) > BUSY_OUTBOX and not self.is_closed:
            self._emptied.clear()
            await self._emptied.wait()

    async def write(self) -> None:
        """Send what is put until the socket is closed. Run it as a task of its own."""
        try:
            while not self.is_closed:
                await self._filled.wait()
                self._filled.clear()
                while self._outbox:
                    await self._send({"type": "websocket.send", "text": self._outbox.popleft()})
                self._emptied.set()
                if self._close_code is not None:
                    self.is_closed = True
                    await self._send({"type": "websocket.close", "code": self._close_code})
        finally:
            self.is_closed = True
            self._emptied.set()

    def _start_over(self) -> None:
        """Drop what waits, and ask the client to read the present state of its rooms. That of a batch is sent anew."""
        self._outbox.clear()
        for room, subscription in self.subscriptions.items():
            if subscription.target.batch_pk is not None:
                self._on_gap(subscription)
            elif subscription.is_live:
                self._outbox.append(protocol.joined(room, subscription.last_id, resync=True))


# The rooms of an organization.


class RoomSubscriptions:
    """A room that somebody joined, and the subscriptions to it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.subscriptions: set[Subscription] = set()

    def deliver(self, event: Event, hidden: Collection[UserAndJob]) -> None:
        """Deliver an event to all in the room but those whose (user, job) pair is hidden."""
        text = event.text(self.target.room)
        for subscription in self.subscriptions:
            if not hidden or (subscription.socket.user.pk, event.job_pk) not in hidden:
                subscription.deliver(event.id, text)


@dataclass(slots=True)
class Topic:
    """An organization's rooms that somebody joined, and how far its log was polled for them."""

    key: str
    #: None for everybody's jobs.
    organization_pk: Any
    rooms: dict[str, RoomSubscriptions] = field(default_factory=dict)
    #: Those of the rooms that stand for one job, by its key.
    job_rooms: dict[int, RoomSubscriptions] = field(default_factory=dict)
    #: Those that stand for one batch, by its key, and what each was told last.
    batch_rooms: dict[int, RoomSubscriptions] = field(default_factory=dict)
    batch_data: dict[int, str] = field(default_factory=dict)
    watermark: Watermark | None = None
    #: The log's last id when the first socket subscribed, or when all were told to read REST.
    floor: int = 0
    #: What the last polls found and all were told to read by REST. Other topics may tell of it one by one.
    passed_over: set[int] = field(default_factory=set)
    #: When the log is polled next, on the monotonic clock.
    poll_at: float = 0.0
    #: The progress that the last poll found, by job.
    progress: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def add(self, subscription: Subscription) -> None:
        """Add a subscription to its room."""
        target = subscription.target
        room = self.rooms.get(target.room)
        if room is None:
            room = self.rooms[target.room] = RoomSubscriptions(target)
            if target.job_pk is not None:
                self.job_rooms[target.job_pk] = room
            if target.batch_pk is not None:
                self.batch_rooms[target.batch_pk] = room
        room.subscriptions.add(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Remove a subscription, and its room if nobody else is in it."""
        room = self.rooms.get(subscription.room)
        if room is None:
            return
        room.subscriptions.discard(subscription)
        if not room.subscriptions:
            del self.rooms[subscription.room]
            if room.target.job_pk is not None:
                self.job_rooms.pop(room.target.job_pk, None)
            if room.target.batch_pk is not None:
                self.batch_rooms.pop(room.target.batch_pk, None)
                self.batch_data.pop(room.target.batch_pk, None)

    def includes(self, job_pk: int) -> bool:
        """Return whether somebody listens to this job or to all jobs."""
        return job_pk in self.job_rooms or self._has_whole()

    def wants(self, kind: str, pk: int) -> bool:
        """Return whether somebody listens to what this kind of event tells of: a batch, or a job."""
        return pk in self.batch_rooms if kind == BATCH else self.includes(pk)

    def deliver(self, event: Event, hidden: Collection[UserAndJob]) -> None:
        """Deliver an event to those who listen to its job or to all jobs, but not to the hidden (user, job) pairs.

        An event of a batch goes to the batch's room alone.
        """
        if event.batch_pk is not None:
            self._deliver_batch(event.batch_pk, event)
            return
        for room in self._rooms_of(event.job_pk):
            room.deliver(event, hidden)

    def _deliver_batch(self, pk: int, event: Event) -> None:
        if pk in self.batch_rooms:
            self.batch_data[pk] = event.data
            self.batch_rooms[pk].deliver(event, ())

    def outdated(self, events: Iterable[Event]) -> list[int]:
        """Return the batches of which these events say something else than was told last."""
        data = {event.batch_pk: event.data for event in events if event.batch_pk is not None}
        return [pk for pk, now in data.items() if self.batch_data.get(pk) != now]

    def audience(self, job_pk: int) -> dict[UserAndJob, Any]:
        """Return the users who listen to the job, by (user's key, job's key)."""
        heard = [subscription for room in self._rooms_of(job_pk) for subscription in room.subscriptions]
        return {(item.socket.user.pk, job_pk): item.socket.user for item in heard}

    def under_other_id(self, organization: str) -> list[Target]:
        """Return the rooms of the whole organization that were joined by another id than this, its id now.

        The id is "" for an organization that is gone.
        """
        named = [room.target for room in self.rooms.values() if room.target.organization is not None]
        return [target for target in named if target.organization != organization]

    def pass_over(self, log_ids: Collection[int]) -> None:
        """Tell all in rooms of jobs, whose events come from the log, to read REST instead of these events."""
        self.passed_over.update(log_ids)
        cursor = max(log_ids)
        self.floor = max(self.floor, cursor)
        for room in self.rooms.values():
            text = protocol.joined(room.target.room, cursor, resync=True)
            for subscription in room.subscriptions if room.target.batch_pk is None else ():
                subscription.deliver(0, text)

    def _rooms_of(self, job_pk: int) -> list[RoomSubscriptions]:
        whole = [room for room in self.rooms.values() if room.target.is_whole] if self._has_whole() else []
        return [*whole, self.job_rooms[job_pk]] if job_pk in self.job_rooms else whole

    def _has_whole(self) -> bool:
        return len(self.rooms) > len(self.job_rooms) + len(self.batch_rooms)
