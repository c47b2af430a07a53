"""This process's subscription to the channel layer: one channel, in the groups of what somebody here listens to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from channels.layers import get_channel_layer

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
