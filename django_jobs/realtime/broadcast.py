"""Telling the channel layer of changes, after the commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers, get_channel_layer
from django.utils.module_loading import import_string

from django_jobs.realtime.hub import leave_replica
from django_jobs.realtime.protocol import group_of

# The notifications that wait to be sent, between the threads that change jobs and the thread that sends.


#: An organization's key, an Execution Log row's id, a job's key.
Change = tuple[Any, int, int]
#: One message: ``changes`` has lists of [log id, job's key] by organization's key as text, ``floods`` the newest log
#: id by the same key, and each kind of ``events.CURRENT`` lists of jobs' keys by the same key.
Notification = dict[str, dict[str, Any]]

#: How many changes and jobs may wait.
MAX_WAITING: Final = 20_000
#: If one organization has more changes than this at once, they are a flood: not listed, but found by a poll of the log.
MAX_LISTED: Final = 100


class Outbox:
    """A bounded buffer, in which a job waits once for each kind of event. Changes of status are dropped last.

    It takes no lock, because a handler's thread may be interrupted anywhere.
    """

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self.limit = limit
        #: How much was dropped because the layer was too slow or away.
        self.dropped = 0
        self._changes: deque[Sequence[Change]] = deque()
        self._waiting = 0
        #: The organization's key by kind of event and job.
        self._updates: dict[tuple[str, int], Any] = {}

    def __bool__(self) -> bool:
        return bool(self._changes or self._updates)

    def add_changes(self, changes: Sequence[Change]) -> None:
        """Add changes of status. If they do not fit, drop what else waits; if they still do not fit, drop them."""
        if self._waiting + len(self._updates) + len(changes) > self.limit:
            self.dropped += len(self._updates)
            self._updates.clear()
            if self._waiting + len(changes) > self.limit:
                self.dropped += len(changes)
                return
        self._waiting += len(changes)
        self._changes.append(changes)

    def add_updates(self, kind: str, organizations: Mapping[int, Any]) -> None:
        """Add jobs of which this kind of event tells something new, with their organizations' keys, if they fit."""
        if self._waiting + len(self._updates) + len(organizations) > self.limit:
            self.dropped += len(organizations)
            return
        self._updates.update({(kind, job): organization for job, organization in organizations.items()})

    def take(self) -> dict[str, Notification]:
        """Remove and return all that waits: one message for each group of the layer."""
        changes: dict[Any, list[tuple[int, int]]] = defaultdict(list)
        while self._changes:
            for organization, log_id, job in self._changes.popleft():
                changes[organization].append((log_id, job))
        self._waiting = 0
        messages: dict[str, Notification] = {}
        for organization, found in changes.items():
            if len(found) > MAX_LISTED:
                _message_to(messages, organization)["floods"][str(organization)] = max(found)[0]
            else:
                _message_to(messages, organization)["changes"][str(organization)] = [list(change) for change in found]
        while self._updates:
            (kind, job), organization = self._updates.popitem()
            jobs = _message_to(messages, organization).setdefault(kind, {})
            jobs.setdefault(str(organization), []).append(job)
        return messages


def _message_to(messages: dict[str, Notification], organization: Any) -> Notification:
    return messages.setdefault(group_of(organization), {"changes": {}, "progress": {}, "floods": {}})


def count_of(message: Notification) -> int:
    """Return how many changes and jobs a message tells of. A flood counts as the fewest that make one."""
    listed = sum(len(items) for name, part in message.items() if name != "floods" for items in part.values())
    return listed + len(message["floods"]) * (MAX_LISTED + 1)


# Sending notifications to the channel layer: a thread with an event loop of its own, for which no job waits.


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
