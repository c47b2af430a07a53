"""A real broker, sound or not, as the commands find it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import redis

from tests.support import verbs
from tests.support.commands import QUEUES
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Scheduler


@pytest.fixture
def redis_broker(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    redis_client.config_set("maxmemory-policy", "noeviction")
    verbs.use_broker(None)
    yield redis_client
    redis_client.config_set("maxmemory-policy", "noeviction")
    verbs.use_broker(None)


@pytest.fixture(autouse=True)
def _no_forks(interpose: Interpose) -> None:
    """A worker that a test calls does not fork the test's own process, whose connections it would close for that."""
    interpose("prepare_fork_server", lambda: None)


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """What a command that runs for long does at a signal ends with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _no_pause(tuning: Tuning) -> None:
    """The second look at what waits follows the first one at once."""
    tuning.set(diagnosis_pause_seconds=0)


@pytest.fixture
def sound(redis_broker: redis.Redis) -> None:
    """A marked broker, a worker on every queue, a scheduler that has just ticked."""
    verbs.check_broker()
    verbs.announce_worker("worker-1", QUEUES, slots=1)
    Scheduler("scheduler-1").lead()
