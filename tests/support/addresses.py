"""Where a server of a test listens."""

from __future__ import annotations

import random
import socket
from typing import Final

HOST: Final = "127.0.0.1"
#: Below those that the system gives to outgoing connections, which would else take one between two starts on it.
PORTS: Final = range(10_000, 32_768)
TRIES: Final = 100

# Not the module's own numbers, which pytest-randomly makes the same in every run with one seed.
_random = random.SystemRandom()


def free_port() -> int:
    """A port that nothing listens on now, and that no other run is likely to choose: several run side by side."""
    for _ in range(TRIES):
        port = _random.choice(PORTS)
        if is_free(port):
            return port
    raise OSError(f"None of {TRIES} ports of {HOST} is free.")


def is_free(port: int) -> bool:
    """Whether a server could listen there; what is left of an earlier one's connections does not matter."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True
