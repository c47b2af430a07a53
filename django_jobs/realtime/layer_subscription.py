"""A process's ear in the channel layer: one channel, in the groups of what somebody here listens to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from channels.layers import get_channel_layer

logger = logging.getLogger("django_jobs")

LAYER_TIMEOUT: Final = 5.0
#: A layer may forget who is in its groups: it is told again.
REFRESH_SECONDS: Final = 10.0


class Complaints:
    """Tells of what fails once when it begins, and once when it is over."""

    def __init__(self) -> None:
        self._failing: set[str] = set()

    def __contains__(self, part: str) -> bool:
        return part in self._failing

    def add(self, part: str, error: Exception) -> None:
        if part not in self._failing:
            self._failing.add(part)
            logger.warning("event=live_progress_failing part=%s error=%r", part, error)

    def withdraw(self, part: str) -> None:
        if part in self._failing:
            self._failing.discard(part)
            logger.info("event=live_progress_works_again part=%s", part)


class Ear:
    """``wanted`` says in which groups to be. Without a layer nothing is heard, and nothing fails."""

    def __init__(self, wanted: Callable[[], set[str]], complaints: Complaints) -> None:
        self._wanted = wanted
        self._complaints = complaints
        self._layer: Any = get_channel_layer()
        self._channel = ""
        self._groups: set[str] = set()
        self._lock = asyncio.Lock()
        self._refresh_at = 0.0

    @property
    def is_deaf(self) -> bool:
        """Whether there is nothing to hear from."""
        return self._layer is None

    async def open(self) -> bool:
        """Be reachable; True when it was not before, so that something may have been missed."""
        if not self._channel:
            self._channel = await self._layer.new_channel()
        if self._refresh_at and "layer" not in self._complaints:
            return False
        self._refresh_at = 0.0
        return await self.follow()

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = await self._layer.receive(self._channel)
        return message

    async def follow(self) -> bool:
        """Be in the groups that are wanted, and in no other; whether that succeeded."""
        if self._layer is None or not self._channel:
            return True  # as soon as there is a channel
        if self._wanted() == self._groups and time.monotonic() < self._refresh_at:
            return True
        try:
            async with self._lock, asyncio.timeout(LAYER_TIMEOUT):
                await self._change_groups()
        except Exception as error:  # noqa: BLE001  (whatever a layer raises: looks at the log go on without it)
            self._complaints.add("layer", error)
            return False
        self._complaints.withdraw("layer")
        return True

    async def _change_groups(self) -> None:
        """One at a time, so that nobody leaves a group that somebody else has just come to want."""
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
