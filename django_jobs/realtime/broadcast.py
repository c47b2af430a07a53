"""Telling live pages: a thread with an event loop of its own rings the bell, and nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from channels.layers import get_channel_layer

from django_jobs.realtime.outbox import Change, Outbox, count_of

logger = logging.getLogger("django_jobs")

#: The first bell after a silence rings at once, further ones in sets.
PAUSE_SECONDS: Final = 0.2
PAUSE_AFTER_FAILURE: Final = 1.0
SEND_TIMEOUT: Final = 5.0
#: The type of our messages in the layer.
BELL: Final = "jobs.bell"


class LayerBroadcaster:
    """The broadcaster of a process, on the default channel layer. Its thread starts with the first event."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self._start_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._is_idle = False
        self._stopping = False
        self._is_failing = False

    # -- called by any thread --------------------------------------------------------------------------------------

    def changed(self, changes: Sequence[Change]) -> None:
        self.outbox.add_changes(changes)
        self._ring()

    def progressed(self, organizations: Mapping[int, Any]) -> None:
        self.outbox.add_progress(organizations)
        self._ring()

    def drain(self, timeout: float) -> None:
        """Send what waits and end the thread; a later event starts another one."""
        thread = self._thread
        if thread is None or self._pid != os.getpid():
            return
        self._stopping = True
        self._ring()
        thread.join(timeout)
        self._stopping = False

    def _ring(self) -> None:
        if self._pid != os.getpid() or self._thread is None:
            self._start()
        elif self._is_idle or self._stopping:
            self._is_idle = False
            try:
                self._loop.call_soon_threadsafe(self._wake.set)  # type: ignore[union-attr]
            except (AttributeError, RuntimeError):  # it is just starting, or ending
                return

    def _start(self) -> None:
        with self._start_lock:
            if self._pid == os.getpid() and self._thread is not None:
                return
            self._pid = os.getpid()  # of a fork's parent neither thread nor loop came along
            self._loop = self._wake = None
            self._thread = threading.Thread(target=self._run, name="broadcast", daemon=True)
            self._thread.start()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            logger.exception("event=broadcast_ended")
        finally:
            self._thread = None

    async def _serve(self) -> None:
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        while not self._stopping or self.outbox:
            self._wake.clear()
            self._is_idle = True
            if not self.outbox and not self._stopping:
                await self._wake.wait()
            self._is_idle = False
            is_sent = await self.send_waiting()
            if self._stopping:
                return
            await asyncio.sleep(PAUSE_SECONDS if is_sent else PAUSE_AFTER_FAILURE)

    async def send_waiting(self) -> bool:
        """Send all that waits; False when the layer did not take it, which is then lost."""
        layer = get_channel_layer()
        bells = self.outbox.take()
        if layer is None:
            return True
        try:
            for group, bell in bells.items():
                async with asyncio.timeout(SEND_TIMEOUT):
                    await layer.group_send(group, {"type": BELL, **bell})
        except Exception as error:  # noqa: BLE001  (whatever a layer raises, jobs go on)
            self.outbox.dropped += sum(count_of(bell) for bell in bells.values())
            self._complain(error)
            return False
        if self._is_failing:
            self._is_failing = False
            logger.info("event=broadcast_works_again dropped=%s", self.outbox.dropped)
        return True

    def _complain(self, error: Exception) -> None:
        """Once when it begins, not for every message."""
        if not self._is_failing:
            self._is_failing = True
            logger.warning("event=broadcast_failed error=%r", error)
