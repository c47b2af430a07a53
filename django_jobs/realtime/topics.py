"""Who in this process listens to what: lines, one an organization, with the feeds of its rooms."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from django_jobs.engine.sockets.open_sockets import Place
from django_jobs.realtime.admission import Target
from django_jobs.realtime.identity import Identity
from django_jobs.realtime.messages import Event
from django_jobs.realtime.replay import Mark

K = TypeVar("K", bound=Hashable)

#: The line of those who hear of everybody's jobs.
EVERYBODY: Final = ""
#: So many events are remembered as told; what is older may be told again, and clients drop it.
REMEMBERED: Final = 50_000


class Listener(Protocol):
    """A socket, as the hub knows it."""

    identity: Identity
    #: As of the last check; None before the first one.
    user: Any
    place: Place | None
    recheck_at: float

    def put(self, text: str) -> None:
        """Send a frame, soon."""

    def targets(self) -> list[Target]:
        """What it listens to."""

    def revoke(self, target: Target, reason: str = "forbidden") -> None:
        """It may not listen to this any longer."""

    def close(self, code: int) -> None:
        """End it."""


class Told(Generic[K]):
    """What was told already: the latest of it."""

    def __init__(self) -> None:
        self._items: set[K] = set()
        self._order: deque[K] = deque()

    def __contains__(self, item: K) -> bool:
        return item in self._items

    def add(self, item: K) -> bool:
        """Whether it is news."""
        if item in self._items:
            return False
        self._items.add(item)
        self._order.append(item)
        if len(self._order) > REMEMBERED:
            self._items.discard(self._order.popleft())
        return True

    def news(self, items: Iterable[K]) -> list[K]:
        return [item for item in items if item not in self._items]


class Subscription:
    """One socket in one room. Until its replay is sent, what happens meanwhile waits here."""

    def __init__(self, listener: Listener, target: Target) -> None:
        self.listener = listener
        self.target = target
        #: The highest id that the client was told of.
        self.last_id = 0
        self._waiting: list[tuple[int, str]] | None = []

    @property
    def room(self) -> str:
        return self.target.room

    @property
    def is_live(self) -> bool:
        return self._waiting is None

    def take(self, event_id: int, text: str) -> None:
        if self._waiting is None:
            if self.target.job_pk is not None and 0 < event_id <= self.last_id:
                return  # ids of one job increase
            self.last_id = max(self.last_id, event_id)
            self.listener.put(text)
        else:
            self._waiting.append((event_id, text))

    def go_live(self, replayed: set[int]) -> None:
        """Tell what happened meanwhile and was not part of the replay; from now on everything at once."""
        waiting, self._waiting = self._waiting or [], None
        for event_id, text in waiting:
            if event_id not in replayed:
                self.take(event_id, text)


class Feed:
    """A room and who listens to it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.subscriptions: set[Subscription] = set()

    def tell(self, event: Event, hidden: Collection[tuple[Any, int]]) -> None:
        text = event.text(self.target.room)
        for subscription in self.subscriptions:
            if not hidden or (subscription.listener.user.pk, event.job_pk) not in hidden:
                subscription.take(event.id, text)


@dataclass(slots=True)
class Line:
    """An organization's rooms that somebody listens to, and how far they were told of its log."""

    key: str
    organization_pk: Any
    feeds: dict[str, Feed] = field(default_factory=dict)
    jobs: dict[int, Feed] = field(default_factory=dict)
    mark: Mark | None = None
    #: The last id when somebody began to listen.
    floor: int = 0
    look_at: float = 0.0
    progress: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def add(self, subscription: Subscription) -> None:
        target = subscription.target
        feed = self.feeds.get(target.room)
        if feed is None:
            feed = self.feeds[target.room] = Feed(target)
            if target.job_pk is not None:
                self.jobs[target.job_pk] = feed
        feed.subscriptions.add(subscription)

    def remove(self, subscription: Subscription) -> None:
        feed = self.feeds.get(subscription.room)
        if feed is None:
            return
        feed.subscriptions.discard(subscription)
        if not feed.subscriptions:
            del self.feeds[subscription.room]
            if feed.target.job_pk is not None:
                self.jobs.pop(feed.target.job_pk, None)

    def hears_of(self, job_pk: int) -> bool:
        return job_pk in self.jobs or self._has_whole()

    def tell(self, event: Event, hidden: Collection[tuple[Any, int]]) -> None:
        """Tell an event to whoever listens to its job or to all of them, but for the hidden (user, job)."""
        for feed in self._feeds_of(event.job_pk):
            feed.tell(event, hidden)

    def audience(self, job_pk: int) -> dict[tuple[Any, int], Any]:
        """Who would be told of the job: (user's key, job's key) -> user."""
        heard = [subscription for feed in self._feeds_of(job_pk) for subscription in feed.subscriptions]
        return {(item.listener.user.pk, job_pk): item.listener.user for item in heard}

    def not_named(self, organization: str) -> list[Target]:
        """The rooms of the whole organization by another id than this one, which it has now ("" when it is gone)."""
        named = [feed.target for feed in self.feeds.values() if feed.target.organization is not None]
        return [target for target in named if target.organization != organization]

    def subscriptions(self) -> Iterator[Subscription]:
        for feed in self.feeds.values():
            yield from feed.subscriptions

    def _feeds_of(self, job_pk: int) -> list[Feed]:
        whole = [feed for feed in self.feeds.values() if feed.target.job_pk is None] if self._has_whole() else []
        return [*whole, self.jobs[job_pk]] if job_pk in self.jobs else whole

    def _has_whole(self) -> bool:
        return len(self.feeds) > len(self.jobs)
