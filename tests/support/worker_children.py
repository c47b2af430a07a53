"""The processes below a supervisor."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from tests.support import verbs

#: A fork server has its name after so long.
YOUNG_SECONDS: Final = 1.0


def children_of(supervisor: psutil.Process) -> list[psutil.Process]:
    """The children that run jobs, without the server that forks them."""
    return without_fork_servers(supervisor.children())


def without_fork_servers(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of these processes that live and are no fork servers.

    While none of them has a fork server's name, very young ones may become one, and are left out.
    """
    named = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            named[process] = process.name(), _age(process)
    server = verbs.FORK_SERVER_NAME.decode()
    has_server = any(name == server for name, _ in named.values())
    return [process for process, (name, age) in named.items() if name != server and (has_server or age > YOUNG_SECONDS)]


def _age(process: psutil.Process) -> float:
    """Seconds. By psutil's time of birth it may be one more: what that counts from is rounded to a second."""
    try:
        words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise psutil.NoSuchProcess(process.pid) from error
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(words[19]) / os.sysconf("SC_CLK_TCK")


def fork_server_of(supervisor: psutil.Process) -> psutil.Process:
    """The process that forks its children."""
    (server,) = [item for item in supervisor.children() if item.name() == verbs.FORK_SERVER_NAME.decode()]
    return server


def sockets_of(process: psutil.Process) -> set[str]:
    """The names of the sockets that a process has open."""
    links = Path(f"/proc/{process.pid}/fd").iterdir()
    return {name for link in links if (name := os.readlink(link)).startswith("socket:")}  # noqa: PTH115


def inherited_sockets(supervisor: psutil.Process) -> int:
    """How many sockets its children have that were open before they were forked."""
    return len(sockets_of(fork_server_of(supervisor))) - 1  # its line to the supervisor, which no child keeps
