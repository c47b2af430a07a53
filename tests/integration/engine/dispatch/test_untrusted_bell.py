"""Whoever may write to Redis may write to the dispatcher's bell; jobs go on whatever is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
import redis

from django_jobs.broker import RQBroker

BELL: Final = "rq:django_jobs:bell"
RUBBISH: Final[dict[str, Callable[[redis.Redis], object]]] = {
    "a text": lambda client: client.set(BELL, "abc"),
    "a broken number": lambda client: client.set(BELL, "1.5"),
    "the greatest number": lambda client: client.set(BELL, 2**63 - 1),
    "more than a number": lambda client: client.set(BELL, "1e999"),
    "a list": lambda client: client.rpush(BELL, "abc"),
}


@pytest.mark.parametrize("what", list(RUBBISH))
def test_a_bell_that_holds_rubbish_is_read_and_rung(redis_client: redis.Redis, what: str) -> None:
    RUBBISH[what](redis_client)
    broker = RQBroker()
    before = broker.look().rings
    broker.ring()
    first = broker.look().rings
    broker.ring()
    assert len({before, first, broker.look().rings}) == 3
