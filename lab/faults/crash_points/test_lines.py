"""The lines see all that a process sends, and a verb that must not be interrupted is found out."""

from __future__ import annotations

import re

import pytest
import redis

from lab.faults.crash_points.boundaries import Harm
from lab.faults.crash_points.play import Play
from lab.faults.crash_points.processes import Processes
from lab.faults.crash_points.scenarios import ALL, BROKEN
from lab.faults.crash_points.world import make_world

pytestmark = pytest.mark.django_db(transaction=True)


def test_transactions_prepared_statements_and_commands_are_seen(
    processes: Processes, redis_client: redis.Redis
) -> None:
    make_world()
    play = Play(ALL["work on all kinds of jobs"], processes, redis_client)

    seen = play.record()

    texts = {item.line: [other.text for other in seen if other.line == item.line] for item in seen}
    assert "BEGIN" in texts["postgresql"]
    assert "COMMIT" in texts["postgresql"]
    # The claim is the engine's own statement, which Django's wrappers of statements do not see.
    assert [text for text in texts["postgresql"] if "FOR NO KEY UPDATE SKIP LOCKED" in text and "WITH locked" in text]
    assert [text for text in texts["redis"] if text.startswith("EVAL")]
    assert any(item.is_open for item in seen)
    assert not any(item.is_open for item in seen if item.line == "redis" or item.text == "COMMIT")


def test_the_same_process_sends_the_same_again(processes: Processes, redis_client: redis.Redis) -> None:
    make_world()
    play = Play(ALL["submit with parents"], processes, redis_client)

    def texts() -> list[str]:
        return [re.sub(r"\d+", "#", item.text) for item in play.record()]

    # On a busy machine one of them may go another way, since what was slow just now is left to others.
    assert any(texts() == texts() for _ in range(5))


def test_a_boundary_that_breaks_a_promise_is_found(processes: Processes, redis_client: redis.Redis) -> None:
    make_world()
    play = Play(BROKEN["complete in two steps"], processes, redis_client)
    play.record()

    found = [play.findings(play.harmed(number, Harm.KILLED)) for number in range(1, 5)]

    assert any("is Pending and never ready" in finding for findings in found for finding in findings)


def test_a_process_that_lives_is_told_of_a_lost_answer(processes: Processes, redis_client: redis.Redis) -> None:
    make_world()
    play = Play(ALL["cancel a waiting job"], processes, redis_client)

    ending = play.harmed(2, Harm.ANSWER_LOST)

    assert ending.is_hit
    assert "OperationalError" in ending.raised
