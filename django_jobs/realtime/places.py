"""The sockets that users have open in this process, asked for and given back without the event loop waiting."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from django.db import Error

from django_jobs.engine.open_sockets import Place, Places
from django_jobs.realtime.readers import Reader

#: Close code for a user who has as many sockets open as there may be.
TOO_MANY: Final = 4429


class SocketPlaces:
    """Those of one event loop. Its reader is one thread, so that what it holds is counted by one."""

    def __init__(self, reader: Reader) -> None:
        self._places = Places()
        self._reader = reader

    async def take(self, user: Any) -> Place | None:
        """Return a place for one more socket of the user; None when there is none left."""
        return await self._reader.read(self._places.take, user.pk)

    async def give_back(self, place: Place) -> None:
        """Note that the socket is closed. Many that close at the same moment are one statement."""
        self._places.give_back(place)
        with contextlib.suppress(Error):  # the row is deleted with the next ones, or forgotten like a dead process's
            await self._reader.read(self._places.release)

    async def renew(self) -> list[Place]:
        """Return the places that this process has lost for good."""
        return await self._reader.read(self._places.renew)
