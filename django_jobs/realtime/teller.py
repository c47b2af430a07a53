"""Telling events to those who listen: each once, to whom the policy shows the job, under an id that is still theirs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django_jobs.realtime.admission import passed_on
from django_jobs.realtime.messages import Event
from django_jobs.realtime.readers import Reader
from django_jobs.realtime.sight import Pair, Sight
from django_jobs.realtime.topics import EVERYBODY, Line, Told


class Teller:
    """``lines`` are the hub's, by their keys. What rights have to be asked, ``doors`` asks."""

    def __init__(self, lines: Mapping[str, Line], doors: Reader) -> None:
        #: The ids of the events that were told already.
        self.told: Told[int] = Told()
        #: The attempts (job, attempt) of which 100 % was told.
        self._filled: Told[tuple[int, int] | None] = Told()
        self._lines = lines
        self._doors = doors
        self._sight = Sight(doors.read)

    def lines_of(self, key: str) -> list[Line]:
        """Return the lines on which an organization's events are told."""
        return [self._lines[item] for item in (key, EVERYBODY) if item in self._lines]

    async def tell(self, events: Sequence[Event]) -> None:
        """Tell events, each to those who listen and may hear of it."""
        await self._put_out(events)
        hidden = await self._sight.hidden(lambda: self._audience(events))
        for event in events:
            self._tell(event, hidden)

    def _audience(self, events: Sequence[Event]) -> dict[Pair, Any]:
        heard: dict[Pair, Any] = {}
        for event in events:
            for line in self.lines_of(str(event.organization_pk)):
                heard |= line.audience(event.job_pk)
        return heard

    async def _put_out(self, events: Sequence[Event]) -> None:
        """End the rooms that were joined by an id which another organization has by now."""
        ids = {(str(event.organization_pk), event.organization) for event in events}
        old = {target for key, now in ids if key in self._lines for target in self._lines[key].not_named(now)}
        for target in await self._doors.read(passed_on, old) if old else ():
            line = self._lines.get(str(target.organization_pk))
            feed = line.feeds.get(target.room) if line is not None else None
            for subscription in list(feed.subscriptions) if feed is not None else ():
                subscription.listener.revoke(target, "renamed")

    def _tell(self, event: Event, hidden: Collection[Pair]) -> None:
        """Tell the line of the event's own organization, whatever a bell said."""
        if event.id and not self.told.add(event.id):
            return
        if event.before is not None and event.before.filled not in self._filled:
            self._tell(event.before, hidden)
        if event.filled is not None:
            self._filled.add(event.filled)
        for line in self.lines_of(str(event.organization_pk)):
            line.tell(event, hidden)
