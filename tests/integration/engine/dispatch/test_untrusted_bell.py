"""Whoever may write to Redis may write to what dispatchers keep there; jobs go on whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
import redis

from tests.support import verbs
from tests.support.verbs import RQBroker

BELL: Final = "rq:django_jobs:bell"
LEADER: Final = verbs.LEADER_KEY
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


@pytest.mark.parametrize(
    "write",
    [
        lambda client: client.set(LEADER, "somebody"),
        lambda client: client.set(LEADER, "somebody", ex=3600),
        lambda client: client.rpush(LEADER, "somebody"),
    ],
    ids=["a text that lasts for ever", "a text that lasts for an hour", "a list"],
)
def test_what_no_leader_wrote_keeps_nobody_from_leading(
    redis_client: redis.Redis, write: Callable[[redis.Redis], object]
) -> None:
    write(redis_client)
    broker = RQBroker()
    assert broker.lead("one", 60.0, rings=False)
    assert not broker.lead("two", 60.0, rings=False)
    broker.stop_leading("two")
    assert broker.lead("one", 60.0, rings=False)
    broker.stop_leading("one")
    assert broker.lead("two", 60.0, rings=False)
