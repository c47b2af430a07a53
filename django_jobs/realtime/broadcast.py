"""Sending notifications to the channel layer: a thread with an event loop of its own, for which no job waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers, get_channel_layer
from django.utils.module_loading import import_string

from django_jobs.realtime.layer_subscription import leave_replica
from django_jobs.realtime.outbox import Change, Outbox, count_of

logger = logging.getLogger("django_jobs")

#: The pause after each message. So the first notification after a silence is sent at once, later ones in sets.
PAUSE_SECONDS: Final = 0.2
PAUSE_AFTER_FAILURE: Final = 1.0
SEND_TIMEOUT: Final = 5.0
#: The type of the messages in the layer.
MESSAGE_TYPE: Final = "jobs.bell"


class LayerBroadcaster:
    """A process's broadcaster, on the default channel layer. Its thread starts with the first notification."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self._start_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waking: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._is_idle = False
        self._stopping = False
        self._is_failing = False

    def load(self) -> None:
        """Import the layer's class, which is not made before the first notification; that one tells what ails it."""
        with contextlib.suppress(Exception):
            import_string(channel_layers.configs[DEFAULT_CHANNEL_LAYER]["BACKEND"])

    # -- called by any thread --------------------------------------------------------------------------------------

    def changed(self, changes: Sequence[Change]) -> None:
        """Notify of committed changes of status."""
        self.outbox.add_changes(changes)
        self._wake_thread()

    def updated(self, kind: str, organizations: Mapping[int, Any]) -> None:
        """Notify that this kind of event tells something new of jobs: their organizations' keys by the jobs'."""
        self.outbox.add_updates(kind, organizations)
        self._wake_thread()

    def drain(self, timeout: float) -> None:
        """Send what waits, for at most ``timeout`` seconds, and end the thread. A later notification starts another."""
        thread = self._thread
        if thread is None or self._pid != os.getpid():
            return
        self._stopping = True
        self._wake_thread()
        thread.join(timeout)
        self._stopping = False

    def _wake_thread(self) -> None:
        if self._pid != os.getpid() or self._thread is None:
            self._start()
        elif self._is_idle or self._stopping:
            self._is_idle = False
            try:
                self._loop.call_soon_threadsafe(self._waking.set)  # type: ignore[union-attr]
            except (AttributeError, RuntimeError):  # it is just starting, or ending
                return

    def _start(self) -> None:
        with self._start_lock:
            if self._pid == os.getpid() and self._thread is not None:
                return
            self._pid = os.getpid()  # after a fork the thread and the loop of the parent are not here
            self._loop = self._waking = None
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
        self._waking = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        while not self._stopping or self.outbox:
            self._waking.clear()
            self._is_idle = True
            if not self.outbox and not self._stopping:
                await self._waking.wait()
            self._is_idle = False
            is_sent = await self.send_waiting()
            if self._stopping:
                return
            await asyncio.sleep(PAUSE_SECONDS if is_sent else PAUSE_AFTER_FAILURE)

    async def send_waiting(self) -> bool:
        """Send all that waits. Return False when the layer did not take it; then it is lost."""
        layer = get_channel_layer()
        messages = self.outbox.take()
        if layer is None:
            return True
        try:
            for group, message in messages.items():
                async with asyncio.timeout(SEND_TIMEOUT):
                    await layer.group_send(group, {"type": MESSAGE_TYPE, **message})
        except Exception as error:  # noqa: BLE001  (whatever a layer raises, jobs must go on)
            self.outbox.dropped += sum(count_of(message) for message in messages.values())
            self._log_failure(error)
            await leave_replica(layer, error)
            return False
        if self._is_failing:
            self._is_failing = False
            logger.info("event=broadcast_works_again dropped=%s", self.outbox.dropped)
        return True

    def _log_failure(self, error: Exception) -> None:
        """Log a failure once when it begins, not for every message."""
        if not self._is_failing:
            self._is_failing = True
            logger.warning("event=broadcast_failed error=%r", error)
