"""Redis servers of a test's own: to be killed, followed by replicas, failed over by Sentinels, or switched over."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import redis

from tests.support.addresses import HOST, free_port
from tests.support.networks import HalfOpenLine
from tests.support.valkey import EmbeddedValkey
from tests.support.waiting import wait_until

#: What the Sentinels call the server that takes writes.
MASTER: Final = "jobs"
#: Milliseconds of silence after which a Sentinel takes a server for lost.
DOWN_AFTER: Final = 1000


class RedisProcess:
    """One ``redis-server`` process with a directory of its own; it keeps nothing on disk."""

    def __init__(self, options: Sequence[str] = (), *, host: str = HOST, prefix: tuple[str, ...] = ()) -> None:
        self.host, self.port = host, free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="django-jobs-redis-"))
        self._prefix = prefix
        own = [f"port {self.port}", f"bind {host}", f"dir {self._directory}", "protected-mode no"]
        self._config = self._directory / "redis.conf"
        self._config.write_text("\n".join([*own, *options]) + "\n")
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its ``REDIS_URL``."""
        return f"redis://{self.host}:{self.port}/0"

    def client(self) -> redis.Redis:
        """Return a client for the test's own questions."""
        return redis.Redis(self.host, self.port, socket_timeout=30, decode_responses=True)

    def start(self, *arguments: str) -> None:
        """Start the process."""
        program = shutil.which("redis-server")
        if program is None:
            raise FileNotFoundError("redis-server is not installed.")
        with (self._directory / "log").open("ab") as log:
            self._popen = subprocess.Popen(
                [*self._prefix, program, str(self._config), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def answers(self) -> bool:
        """Whether it takes commands."""
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """Kill the process, as if its machine were lost."""
        if self._popen is not None:
            self._popen.send_signal(signal.SIGKILL)
            self._popen.wait()
            self._popen = None

    def close(self) -> None:
        """End the process and delete what it left."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


class WatchedRedis:
    """A server, a replica of it, and three Sentinels that make the replica the server when the first is lost."""

    def __init__(self) -> None:
        memory = ('save ""', "appendonly no", "repl-diskless-sync-delay 0")
        self.servers = [RedisProcess(memory)]
        self.servers.append(RedisProcess([*memory, f"replicaof {HOST} {self.servers[0].port}"]))
        watch = [
            f"sentinel monitor {MASTER} {HOST} {self.servers[0].port} 2",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER}",
            f"sentinel failover-timeout {MASTER} 5000",
        ]
        self.sentinels = [RedisProcess(watch) for _ in range(3)]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The Sentinels, as ``RQ_QUEUES`` names them."""
        return [(item.host, item.port) for item in self.sentinels]

    def start(self) -> None:
        """Start all, and wait until the Sentinels know each other and the replica."""
        for server in self.servers:
            server.start()
        wait_until(lambda: self.servers[0].answers() and _link(self.servers[1]) == "up", 60, "the replica")
        for sentinel in self.sentinels:
            sentinel.start("--sentinel")
        wait_until(lambda: all(map(_knows_all, self.sentinels)), 60, "the Sentinels to know each other")

    def master(self) -> tuple[str, int]:
        """Return where the Sentinels send who wants to write."""
        with self.sentinels[0].client() as client:
            host, port = client.execute_command("SENTINEL", "get-master-addr-by-name", MASTER)
        return host, int(port)

    def close(self) -> None:
        """End all processes."""
        for process in [*self.sentinels, *self.servers]:
            process.close()


def _link(server: RedisProcess) -> str:
    with contextlib.suppress(redis.RedisError), server.client() as client:
        return str(client.info("replication").get("master_link_status"))
    return ""


def _knows_all(sentinel: RedisProcess) -> bool:
    with contextlib.suppress(redis.RedisError), sentinel.client() as client:
        answer = client.execute_command("SENTINEL", "master", MASTER)
        known = answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
        return known.get("num-other-sentinels") == "2" and known.get("num-slaves") == "1"
    return False


@contextlib.contextmanager
def watched_redis() -> Iterator[WatchedRedis]:
    """A Redis that Sentinels watch, for one test."""
    watched = WatchedRedis()
    try:
        watched.start()
        yield watched
    finally:
        watched.close()


class SwitchedRedis:
    """Two servers behind one address, which leads to the second one once that takes the writes.

    Nobody is hung up on then: who was connected goes on talking to the first, which takes no writes and hears no news.
    """

    def __init__(self, directory: Path) -> None:
        self.servers = [EmbeddedValkey(directory / name) for name in ("first-valkey", "second-valkey")]
        self._line = HalfOpenLine(HOST, self.servers[0].port)
        with self.client(0) as first, self.client(1) as second:
            first.config_set("repl-diskless-sync-delay", 0)
            second.replicaof(HOST, self.servers[0].port)
            wait_until(lambda: second.info("replication").get("master_link_status") == "up", 60, "the replica")

    @property
    def url(self) -> str:
        """Its ``REDIS_URL``."""
        return f"redis://{HOST}:{self._line.port}/0"

    def client(self, number: int) -> redis.Redis:
        """Return a client of one of the servers for the test's own questions."""
        return redis.Redis(HOST, self.servers[number].port)

    def switch(self) -> None:
        """Let the second take the writes, and the address lead to it."""
        with self.client(0) as first, self.client(1) as second:
            second.replicaof("NO", "ONE")
            first.replicaof(HOST, free_port())
        self._line.lead_to(self.servers[1].port)

    def close(self) -> None:
        """End all."""
        self._line.close()
        for server in self.servers:
            server.stop()


@contextlib.contextmanager
def switched_redis(directory: Path) -> Iterator[SwitchedRedis]:
    """A Redis whose address is switched over, for one test."""
    switched = SwitchedRedis(directory)
    try:
        yield switched
    finally:
        switched.close()
