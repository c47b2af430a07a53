"""A process dies at every statement and every command of Redis, and what it left behind comes to a good end.

Also where it lives: the answer to each of them is lost, because the line breaks or falls silent.
"""

from __future__ import annotations

import itertools
from typing import Final

import pytest
import redis

from lab.faults.crash_points.boundaries import Harm
from lab.faults.crash_points.play import Play
from lab.faults.crash_points.processes import Processes
from lab.faults.crash_points.scenarios import ALL
from lab.faults.crash_points.world import make_world
from tests.support.tuning import Tuning

pytestmark = pytest.mark.django_db(transaction=True)

#: Who is killed before the first boundary has done nothing.
HARMS: Final = (Harm.KILLED, Harm.ANSWER_LOST, Harm.HALF_OPEN)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.value)
@pytest.mark.parametrize("name", ALL)
def test_every_boundary(
    name: str, harm: Harm, processes: Processes, redis_client: redis.Redis, subtests: pytest.Subtests, tuning: Tuning
) -> None:
    tuning.set(file_retry_seconds=0.0)  # an operation that is tried again deletes after the first look for files
    make_world()
    play = Play(ALL[name], processes, redis_client)
    sequence = processes.sequences.get(name) or play.record()
    processes.sequences[name] = sequence
    # Also those boundaries that only come when something went wrong before.
    for number in itertools.count(1):
        if number <= len(sequence) and not sequence[number - 1].shows_more(harm):
            continue
        ending = play.harmed(number, harm)
        with subtests.test(number=number, boundary=ending.seen[number - 1 : number]):
            assert play.findings(ending) == []
        if not ending.is_hit:
            return
