"""The sockets that users have open in this process, given back without the event loop waiting."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from django.db import Error

from django_jobs.engine.sockets.open_sockets import Place, Places
from django_jobs.realtime.readers import Reader, Together

#: Close code for a user who has as many sockets open as there may be.
TOO_MANY: Final = 4429


class SocketPlaces:
    """Those of one event loop. Its reader is one thread, so that what it holds is counted by one."""

    def __init__(self, reader: Reader) -> None:
        self.held = Places()
        self._reader = reader
        self._released = Together(reader, self._release)

    async def give_back(self, place: Place) -> None:
        """Note that the socket is closed. Many that close at the same moment are one statement."""
        self.held.give_back(place)
        with contextlib.suppress(Error):  # tried again with the next ones, or forgotten like a dead process's
            await self._released.ask(place)

    async def renew(self) -> list[Place]:
        """Return the places that this process has lost for good."""
        return await self._reader.read(self.held.renew)

    def _release(self, places: Sequence[Place]) -> Sequence[Place]:
        self.held.release()
        return places
