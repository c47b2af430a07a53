"""The processes below a supervisor."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Final

import psutil

from django_jobs.worker import fork_server

#: A fork server has its name after so long.
YOUNG_SECONDS: Final = 0.5


def children_of(supervisor: psutil.Process) -> list[psutil.Process]:
    """The children that run jobs, without the server that forks them."""
    return without_fork_servers(supervisor.children())


def without_fork_servers(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of these processes that live and are no fork servers. Very young ones may become one, and are left out."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            is_grown = time.time() - process.create_time() > YOUNG_SECONDS
            if is_grown and process.name() != fork_server.NAME.decode():
                found.append(process)
    return found
