"""Runs what a scenario does in a process that is watched, and harmed at one boundary."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.db import connection

from lab.faults.crash_points import lines, nursery
from lab.faults.crash_points.boundaries import Boundaries, Boundary, Harm
from tests.support.databases import DEFAULT_PORTS, database_url
from tests.support.workers import MANAGE_PY

#: Seconds after which a process hangs, however slow the machine is.
PATIENCE: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the process ended: with a value, with an error (the names of its classes), or by being killed."""

    is_hit: bool
    value: Any = None
    raised: tuple[str, ...] = ()
    text: str = ""
    is_dead: bool = False
    seen: list[Boundary] = field(default_factory=list)

    @property
    def has_returned(self) -> bool:
        return not self.is_dead and not self.raised


class Processes:
    """Processes that reach the test's database and Redis only over lines that are watched."""

    def __init__(self, directory: Path, sequences: dict[str, list[Boundary]]) -> None:
        self.watch = Boundaries()
        #: The boundaries of each scenario, as far as they were recorded.
        self.sequences = sequences
        self._log = (directory / "processes.log").open("wb")
        config, redis_url = connection.settings_dict, urlsplit(os.environ["REDIS_URL"])
        port = int(config["PORT"] or DEFAULT_PORTS[connection.vendor])
        self._database = lines.Line((config["HOST"], port), lines.PostgreSQL, self.watch)
        self._redis = lines.Line((redis_url.hostname or "", redis_url.port or 6379), lines.Redis, self.watch)
        direct = {**config, "HOST": "127.0.0.1", "PORT": str(self._database.port)}
        environ = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "lab.faults.crash_points.settings",
            "DATABASE_URL": f"{database_url(direct)}?sslmode=disable&gssencmode=disable",
            "REDIS_URL": redis_url._replace(netloc=f"127.0.0.1:{self._redis.port}").geturl(),
        }
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log, "bufsize": 0}
        command = [sys.executable, "-m", nursery.__name__]
        self._nursery = subprocess.Popen(command, cwd=MANAGE_PY.parent, env=environ, **pipes)
        self._hear()

    def run(
        self, name: str, given: Any, at: int, harm: Harm, seed: int, look: Callable[[], str] | None = None
    ) -> Ending:
        """Act out a scenario with a harm at its boundary number ``at``. Returns when the process has ended.

        ``look`` is asked for what is stored after each request.
        """
        self.watch.arm(at, harm, look)
        self._say({"scenario": name, "given": given, "seed": seed})
        self.watch.pid = self._hear()["pid"]
        self._tell(nursery.GO)
        told = self._hear()
        is_dead = "status" in told
        if not is_dead:
            self._hear()
        self._database.settle()
        self._redis.settle()
        return Ending(
            is_hit=self.watch.is_hit,
            value=told.get("returned"),
            raised=tuple(told.get("raised", ())),
            text=told.get("text", ""),
            is_dead=is_dead,
            seen=self.watch.seen,
        )

    def _say(self, message: dict[str, Any]) -> None:
        self._tell(json.dumps(message).encode() + b"\n")

    def _tell(self, data: bytes) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(data)
        self._nursery.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._nursery.stdout is not None
        if not select.select([self._nursery.stdout], [], [], PATIENCE)[0]:
            raise AssertionError(f"A process has said nothing for {PATIENCE:g} s; see {self._log.name}.")
        line = self._nursery.stdout.readline()
        if not line:
            raise AssertionError(f"The processes' nursery has ended; see {self._log.name}.")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def close(self) -> None:
        assert self._nursery.stdin is not None
        with self._nursery:
            self._nursery.stdin.close()
        self._database.close()
        self._redis.close()
        self._log.close()
