"""One measure of one peer, within the peer's environment: ``python -m … MODULE:CLASS MEASURE JOBS``.

Lines of JSON on the standard output are the answer. Whatever a peer prints goes to the standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from importlib.metadata import version
from typing import Any

from lab.benchmarks.peers.adapters import measures, servers
from lab.benchmarks.peers.adapters.peer import Peer


def main(name: str, measure: str, jobs: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of whatever stops the workers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**facts: Any) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    try:
        module, _, class_name = name.partition(":")
        kind: type[Peer] = getattr(importlib.import_module(f"lab.benchmarks.peers.adapters.{module}"), class_name)
        if measure == "install":
            say(versions=install(kind))
        else:
            for figure, value in measures.MEASURES[measure](kind(), jobs).items():
                say(figure=figure, value=value)
    except Exception as error:  # noqa: BLE001 -- whatever a peer raises is its answer
        say(error=f"{type(error).__name__}: {error}")
    # At once: a client's threads that nobody joined may hold an ordinary end up for seconds.
    os._exit(0)


def install(kind: type[Peer]) -> dict[str, str]:
    """Prepare a peer, and return the versions of its packages and of the servers that it uses."""
    found = {package: version(package) for package in kind.packages}
    if kind.on_postgres:
        servers.make_database()
        kind().install()
        servers.run_sql("CHECKPOINT")  # else the new database is written while somebody is measured
        found |= servers.postgres_facts()
    return found | servers.redis_facts() if {"redis", "hiredis"} & set(kind.packages) else found


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
