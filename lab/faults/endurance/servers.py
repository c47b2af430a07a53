"""The servers of the long run, and the settings of those who work on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lab.faults.endurance.clock import ServerClock
from tests.support.addresses import is_free
from tests.support.postgresql import PostgresCluster
from tests.support.redis_servers import RedisProcess
from tests.support.waiting import wait_until

LEASE_SECONDS: Final = 6
SETTINGS: Final[Mapping[str, Any]] = {
    "HANDLER_MODULES": ["lab.faults.endurance.handlers", "lab.faults.endurance.coroutines"],
    "LEASE_SECONDS": LEASE_SECONDS,
    "CANCEL_GRACE_SECONDS": 2,
    "SHUTDOWN_GRACE_SECONDS": 3,
    "PROGRESS_INTERVAL": 0.2,
}
#: Seconds until Redis answers.
PATIENCE: Final = 60.0


class Servers:
    """Both servers, whose ports are known before Django's settings are read."""

    def __init__(self, directory: Path) -> None:
        """The directory must be one that the server, as another user, can enter."""
        self.directory = directory
        self.clock = ServerClock(directory)
        self.postgres = PostgresCluster(environ=self.clock.environ)
        self.redis = RedisProcess(['save ""'])

    def start(self) -> None:
        self.postgres.make()
        self.postgres.start()
        self.start_redis()

    def start_redis(self) -> None:
        """Start it, and wait until it answers."""
        self.redis.start()
        wait_until(self.redis.answers, PATIENCE, "Redis")

    def ensure(self) -> None:
        """Start those that are away."""
        if is_free(self.postgres.port):
            self.postgres.start()
        if is_free(self.redis.port):
            self.start_redis()

    def stop(self) -> None:
        """Stop both, and delete what they kept."""
        self.redis.close()
        self.postgres.close()

    def environ(self) -> dict[str, str]:
        """What makes ``tests.settings`` those of the long run, with both servers reached directly."""
        return {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DJANGO_JOBS_TEST_SETTINGS": json.dumps(dict(SETTINGS)),
            "DJANGO_JOBS_TEST_DIR": str(self.directory),
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
        }
