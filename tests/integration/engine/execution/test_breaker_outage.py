"""A provider that is down for a minute, with a backlog of its type: what that costs, and how the flow comes back.

A second is a pass of the dispatcher and what workers do with it; the breaker's moments are moved by as much.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import pytest
from django.db.models import F, Max, Sum

from django_jobs.models import Job, JobType
from django_jobs.statuses import BreakerState
from tests.support import verbs
from tests.support.breakers import breaker_of, claim_moved, let_go, let_pass, make_fragile_type
from tests.support.brokers import WORKER, pending_jobs, raised, returned
from tests.support.factories import make_organization
from tests.support.verbs import Claimed, outcomes

pytestmark = pytest.mark.usefixtures("broker")

#: How many jobs run in a second, and how many a worker claims at once.
FLOW: Final = 60
SET: Final = 16
DOWN: Final = range(2, 62)
PAUSE: Final = 5
FAILURES: Final = 10


class Provider:
    """Workers that call a provider, for one second after the other."""

    def __init__(self, kind: JobType) -> None:
        self.kind = kind
        self.second = 0
        self.completed: list[int] = []
        self.attempts_while_down = 0

    def is_up(self) -> bool:
        return self.second not in DOWN

    def pass_second(self) -> None:
        """Let the workers do what they can."""
        moved, before = deque(let_go(self.kind, FLOW)), Job.objects.filter(status="Completed").count()
        while moved:
            self._work(claim_moved([moved.popleft() for _ in range(min(SET, len(moved)))]))
        self.completed.append(Job.objects.filter(status="Completed").count() - before)
        self.second += 1
        let_pass(self.kind, 1)

    def _work(self, claimed: list[Claimed]) -> None:
        verbs.settle([self._run(item) for item in claimed], WORKER)

    def _run(self, claimed: Claimed) -> outcomes.Outcome:
        if self.is_up():
            return returned(claimed)
        self.attempts_while_down += 1
        return raised(claimed, text="The provider does not answer")


@pytest.mark.slow
def test_a_minute_without_the_provider_costs_few_attempts_and_at_most_one_retry() -> None:
    kind = make_fragile_type(breaker_failures=FAILURES, breaker_pause=PAUSE)
    pending_jobs(kind, make_organization(), 600)
    provider, began = Provider(kind), verbs.now()
    while provider.second < DOWN.stop:
        provider.pass_second()
    assert breaker_of(kind).state == BreakerState.OPEN
    took = (verbs.now() - began).total_seconds()  # the breaker's time goes on while the test works
    # What a worker has claimed when the breaker opens still runs, and pays nothing.
    assert provider.attempts_while_down <= FAILURES + SET + (len(DOWN) + took) // PAUSE
    assert Job.objects.aggregate(most=Max("retry_count"), all=Sum("retry_count")) == {"most": 1, "all": FAILURES}

    while Job.objects.filter(status="Pending").exists():
        provider.pass_second()
    after = provider.completed[DOWN.stop :]
    assert next(second for second, count in enumerate(after, 1) if count == FLOW) <= 10
    alone, *growing = [count for count in after if count][:4]
    assert (alone, growing) == (1, sorted(growing))
    Job.objects.filter(status="Failed").update(ready_at=F("created_at"), is_delayed=False)  # their retries are due
    provider.pass_second()
    assert set(Job.objects.values_list("status", flat=True)) == {"Completed"}
    assert breaker_of(kind).state == BreakerState.CLOSED
