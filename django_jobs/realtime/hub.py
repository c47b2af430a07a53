"""What an event loop's sockets have in common: one ear, one look at the log, one check of who may still listen."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from django_jobs.engine.sockets.open_sockets import RENEW_SECONDS
from django_jobs.realtime import joins, messages, replay
from django_jobs.realtime.admission import Target, admit_all
from django_jobs.realtime.attendance import Attendance
from django_jobs.realtime.layer_subscription import Complaints, Ear
from django_jobs.realtime.pending_events import Bells
from django_jobs.realtime.readers import Reader, Together
from django_jobs.realtime.rooms import all_groups, group_of
from django_jobs.realtime.teller import Teller
from django_jobs.realtime.topics import EVERYBODY, Line, Listener, Subscription

TICK_SECONDS: Final = 1.0
#: Bells that ring within this time, or within as long as the last reading took, are read together: half of the time of
#: a flood is left to others.
GATHER_SECONDS: Final = 0.05
MAX_GATHER_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 20.0
#: In a flood of changes a line is looked at so often, instead of reading what each bell tells.
FLOOD_SECONDS: Final = 1.0
RECHECK_SECONDS: Final = 40.0
#: A line that has more news at once is told to read REST.
MAX_NEWS: Final = 1_000
#: So many lines a tick; the others follow in the next one, which then comes sooner.
LINES_A_TICK: Final = 50


class Hub:
    """Lives as long as its loop has sockets."""

    _hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()

    def __init__(self) -> None:
        #: Joins and rights, and news, do not wait for each other.
        self.doors = Reader("jobs-doors")
        self.news = Reader("jobs-news")
        self.attendance = Attendance(self.doors)
        self.admissions = Together(self.doors, admit_all)
        self.joins = Together(self.doors, joins.read_all)
        self._marks = Together(self.news, replay.first_marks)
        self._lines: dict[str, Line] = {}
        self._complaints = Complaints()
        self._ear = Ear(self._wanted_groups, self._complaints)
        self._teller = Teller(self._lines, self.doors)
        self._bells = Bells()
        self._gather_seconds = GATHER_SECONDS
        self._tick_seconds = TICK_SECONDS
        duties = {
            "ear": self._listen,
            "read": self._read,
            "tick": self._tick,
            "recheck": self._recheck,
            "renew": self._renew,
        }
        self._tasks = [asyncio.create_task(self._guarded(what, duty)) for what, duty in duties.items()]

    @classmethod
    def enter(cls, listener: Listener) -> Hub:
        """The running loop's hub, with one socket more."""
        loop = asyncio.get_running_loop()
        hub = cls._hubs.get(loop)
        if hub is None:
            hub = cls._hubs[loop] = cls()
        hub.attendance.enter(listener, RECHECK_SECONDS)
        return hub

    async def leave(self, listener: Listener, subscriptions: Iterable[Subscription]) -> None:
        """The socket is gone; with the last one the hub ends."""
        for subscription in subscriptions:
            self.unsubscribe(subscription)
        self.attendance.leave(listener)
        loop = asyncio.get_running_loop()
        if self.attendance or self._hubs.get(loop) is not self:
            return
        del self._hubs[loop]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._ear.follow()
        self.doors.close(self.attendance.places.held.release_all)
        self.news.close()

    # -- rooms -----------------------------------------------------------------------------------------------------

    async def subscribe(self, listener: Listener, target: Target) -> Subscription:
        """Listen from now on; the subscription keeps what happens until it goes live."""
        subscription = Subscription(listener, target)
        key = EVERYBODY if target.organization_pk is None else str(target.organization_pk)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(key, target.organization_pk)
            line.look_at = time.monotonic() + LOOK_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311
        line.add(subscription)
        await self._ear.follow()
        if line.mark is None:
            await self._mark(line)
        return subscription

    async def _mark(self, line: Line) -> replay.Mark:
        """From where looks begin: the moment of the first subscription."""
        mark, floor = await self._marks.ask(line.organization_pk)
        if line.mark is None:
            line.mark, line.floor = mark, floor
        return line.mark

    def unsubscribe(self, subscription: Subscription) -> None:
        key = EVERYBODY if subscription.target.organization_pk is None else str(subscription.target.organization_pk)
        line = self._lines.get(key)
        if line is not None:
            line.remove(subscription)
            if not line.feeds:
                del self._lines[key]

    def _wanted_groups(self) -> set[str]:
        if EVERYBODY in self._lines:
            return set(all_groups())
        return {group_of(line.organization_pk) for line in self._lines.values()}

    # -- the tasks -------------------------------------------------------------------------------------------------

    async def _guarded(self, what: str, duty: Callable[[], Awaitable[None]]) -> None:
        """Run a duty again and again; what fails once is tried again a second later."""
        while True:
            try:
                await duty()
            except Exception as error:  # noqa: BLE001
                self._complaints.add(what, error)
                await asyncio.sleep(TICK_SECONDS)

    async def _listen(self) -> None:
        """One bell of the layer."""
        if self._ear.is_deaf:
            await asyncio.sleep(LOOK_SECONDS)
            return
        if await self._ear.open():
            self._look_soon()
        bell = await self._ear.hear()
        for key in bell.get("floods", {}):
            for line in self._teller.lines_of(key):
                line.look_at = min(line.look_at, time.monotonic() + FLOOD_SECONDS)
        self._bells.add(bell, self._teller.lines_of)

    def _look_soon(self) -> None:
        """Something may have been missed."""
        for line in self._lines.values():
            line.look_at = min(line.look_at, time.monotonic() + 2 * random.random())  # noqa: S311

    async def _read(self) -> None:
        """Read what bells told of, once for all lines, and tell it."""
        await self._bells.rung.wait()
        await asyncio.sleep(self._gather_seconds)
        started = time.monotonic()
        changes, progress = self._bells.take()
        for key in [key for key, log_ids in changes.items() if len(log_ids) > MAX_NEWS]:
            self._resync(key, changes.pop(key))
        try:
            await self._tell_changes(changes)
            await self._teller.tell(await self.news.read(messages.progress_events, set().union(*progress.values())))
        except Exception:
            self._look_soon()
            raise
        self._gather_seconds = min(max(GATHER_SECONDS, time.monotonic() - started), MAX_GATHER_SECONDS)
        self._complaints.withdraw("read")

    async def _tell_changes(self, changes: Mapping[str, Mapping[int, int]]) -> None:
        lines = [self._lines[key] for key in changes if key in self._lines]
        jobs = {job for rung in changes.values() for job in rung.values()}
        if not lines or not jobs:
            return
        found = await self.news.read(replay.of_jobs, jobs, min(line.floor for line in lines))
        rung = {log_id for ids in changes.values() for log_id in ids}
        await self._teller.tell(await self.news.read(messages.status_events, self._teller.told.news({*found, *rung})))

    def _resync(self, key: str, log_ids: Collection[int]) -> None:
        """There is more news than anybody wants one by one."""
        line = self._lines.get(key)
        if line is not None:
            cursor = max(log_ids, default=0)
            for log_id in log_ids:
                self._teller.told.add(log_id)
            for subscription in line.subscriptions():
                subscription.take(0, messages.joined(subscription.room, cursor, resync=True))

    async def _tick(self) -> None:
        """Look at the lines whose look is due, the longest due first: else those at the end would never have a turn."""
        await asyncio.sleep(self._tick_seconds)
        now = time.monotonic()
        due = sorted((line for line in self._lines.values() if line.look_at <= now), key=lambda line: line.look_at)
        await self._ear.follow()
        for line in due[:LINES_A_TICK]:
            line.look_at = now + LOOK_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311
            await self._look(line)
        is_behind = len(due) > LINES_A_TICK  # then half of the time is left to others
        self._tick_seconds = min(TICK_SECONDS, time.monotonic() - now) if is_behind else TICK_SECONDS
        self._complaints.withdraw("tick")

    async def _look(self, line: Line) -> None:
        """Tell what bells did not: those that a layer lost, and those that it never got."""
        mark = line.mark or await self._mark(line)
        found, seen = await self.news.read(replay.look, line.organization_pk, mark)
        news = self._teller.told.news(found)
        if len(news) > MAX_NEWS:
            self._resync(line.key, news)
            line.mark = seen
            return
        await self._teller.tell(await self.news.read(messages.status_events, news))
        line.mark = seen  # not before it is told: what fails is looked for again
        if line.organization_pk is None:
            return
        before = line.progress
        running = await self.news.read(messages.running_progress, line.organization_pk)
        line.progress = {event.job_pk: state for event, state in running}
        await self._teller.tell([event for event, state in running if before.get(event.job_pk) != state])

    async def _recheck(self) -> None:
        await asyncio.sleep(TICK_SECONDS)
        await self.attendance.recheck(RECHECK_SECONDS)
        self._complaints.withdraw("recheck")

    async def _renew(self) -> None:
        await asyncio.sleep(RENEW_SECONDS)
        await self.attendance.renew()
        self._complaints.withdraw("renew")
