"""How a child tells its supervisor what it has counted.

Messages on a socket, each of which arrives whole or not at all, so that nothing is counted twice. What was sent is not
lost when the child is killed: the supervisor reads what lies there.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from django_jobs.engine import process_counts
from django_jobs.engine.process_counts import Key, ProcessCounts

#: How often a child reports. A killed one loses what it counted since.
REPORT_SECONDS: Final = 0.25
#: Numbers in a message. With the longest names, in the widest characters, they fit into MAX_BYTES.
AT_ONCE: Final = 50
MAX_BYTES: Final = 131_072
#: Unix sockets that keep messages apart, and are not limited to a few of them, are Linux's.
_KIND: Final = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM


class CountsReceiver:
    """The supervisor's end, for one child."""

    def __init__(self) -> None:
        self._socket, self._theirs = socket.socketpair(socket.AF_UNIX, _KIND)
        self._socket.setblocking(False)

    @property
    def descriptor(self) -> int:
        """What the child is to inherit."""
        return self._theirs.fileno()

    def child_has_started(self) -> None:
        """Let go of the child's end."""
        self._theirs.close()

    def receive(self) -> None:
        """Count in this process what has arrived. Does not wait."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while message := self._socket.recv(MAX_BYTES):
                process_counts.count((Key(*key), number) for *key, number in json.loads(message))

    def close(self) -> None:
        """Release it."""
        self._theirs.close()
        self._socket.close()


class CountsSender:
    """The child's end."""

    def __init__(self, descriptor: int) -> None:
        """Count in this process from now on, into what is sent by this descriptor."""
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        os.set_inheritable(descriptor, False)  # what handlers start must not hold it
        self._counts = ProcessCounts(is_bounded=False)
        self._sending = threading.Lock()
        self._next = 0.0
        process_counts.start(self._counts)

    def send_when_due(self) -> None:
        """Report if the last time was REPORT_SECONDS ago. Does not wait."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + REPORT_SECONDS
            self.send()

    def send(self) -> None:
        """Report now. What the supervisor has no room for is kept for the next time; without a supervisor it goes."""
        with self._sending:
            numbers = list(self._counts.take().items())
            try:
                while numbers:
                    self._socket.send(_message_of(numbers[:AT_ONCE]))
                    del numbers[:AT_ONCE]
            except BlockingIOError:
                self._counts.add(numbers)
            except OSError:  # the supervisor is gone, and its numbers with it
                process_counts.stop()

    def close(self) -> None:
        """Release it."""
        self._socket.close()


def _message_of(numbers: Sequence[tuple[Key, float]]) -> bytes:
    return json.dumps([[*key, number] for key, number in numbers], ensure_ascii=False).encode()
