"""What a peer must be able to do so that it can be measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import ClassVar

#: A job of ``lab.benchmarks.peers.work``, without the ``_async`` of its coroutine.
NOTHING, WAIT, TELL = "nothing", "wait", "tell"


class Peer:
    """A task queue, set up as its documents recommend. Each measure makes a new object in a new process."""

    #: Distributions whose versions are written beside the figures.
    packages: ClassVar[tuple[str, ...]] = ()
    #: Whether it has a database of PostgreSQL, which is then made anew before ``install``.
    on_postgres: ClassVar[bool] = True
    #: Whether one call submits many jobs in fewer round trips than one for each.
    has_bulk: ClassVar[bool] = True
    #: Whether a worker process can run fifty jobs at once.
    has_slots: ClassVar[bool] = True

    def install(self) -> None:
        """Make the schema."""

    def reset(self) -> None:
        """Forget every job."""
        raise NotImplementedError

    def submit(self, jobs: int) -> None:
        """Submit so many no-op jobs one by one, each acknowledged before the next."""
        raise NotImplementedError

    def fill(self, work: str, jobs: int) -> None:
        """Submit so many jobs of that work by the bulk call, or one by one where there is none."""
        raise NotImplementedError

    def submit_tell(self, submitted: float, port: int) -> None:
        """Submit one job that tells its delay."""
        raise NotImplementedError

    def left(self) -> int:
        """Return how many jobs have not ended."""
        raise NotImplementedError

    def commands(self, *, fifty: bool) -> list[list[str]]:
        """Return the commands of two worker processes, in all; with fifty jobs at once in each where that is asked."""
        raise NotImplementedError


def use_django() -> None:
    """Load Django with the peer's settings."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "lab.benchmarks.peers.adapters.settings"
    django.setup()


def program(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.prefix) / "bin" / name)


def django_command(*arguments: str) -> list[str]:
    """Return a management command."""
    return [sys.executable, "-m", "django", *arguments]


def database_url() -> str:
    """Return the address of the PostgreSQL database that is this peer's own."""
    return os.environ["PEERS_POSTGRES"].rstrip("/") + "/" + database_name()


def database_name() -> str:
    """Return the name of that database."""
    return "bench_peers_" + os.environ["PEERS_NAME"].replace("-", "_").lower()


def redis_url() -> str:
    """Return the address of the Redis database that all peers use in turn."""
    return os.environ["PEERS_REDIS"]
