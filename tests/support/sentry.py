"""Sentry's SDK with its default integrations and a transport that sends nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sentry_sdk
from django.apps import AppConfig
from sentry_sdk.envelope import Envelope
from sentry_sdk.scope import Scope
from sentry_sdk.transport import Transport

#: The file into which a worker's events go.
VARIABLE: Final = "DJANGO_JOBS_TEST_EVENTS"
DSN: Final = "https://public@sentry.invalid/1"


class Memory(Transport):
    """Keeps the events, and the texts of all that was sent."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.events: list[dict[str, Any]] = []
        self.sent: list[str] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent.append(envelope.serialize().decode())
        event = envelope.get_event()
        if event is not None:
            self.events.append(json.loads(json.dumps(event, default=str)))


class Held(Transport):
    """Keeps events until it is told to flush, as one does whose queue is sent by a thread, and writes them then."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._events: list[str] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self._events.append(json.dumps(event, default=str))

    def flush(self, timeout: float, callback: Any = None) -> None:
        with Path(os.environ[VARIABLE]).open("a") as file:
            file.writelines(f"{event}\n" for event in self._events)
        self._events.clear()


@contextmanager
def captured(**options: Any) -> Iterator[list[dict[str, Any]]]:
    """The events of the block, in which Sentry is set up as a host does it."""
    transport = Memory()
    before = Scope.get_client()
    sentry_sdk.init(dsn=DSN, transport=transport, **options)
    try:
        yield transport.events
    finally:
        Scope.get_global_scope().set_client(before)


class SentryToFile(AppConfig):
    """Sets Sentry up in a process of a worker, as a host's settings do."""

    name = "tests.support"
    label = "sentry_to_file"

    def ready(self) -> None:
        sentry_sdk.init(dsn=DSN, transport=Held)
