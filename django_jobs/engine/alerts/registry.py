"""Which rules there are, in the order in which they are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from django_jobs.engine.alerts import thresholds
from django_jobs.engine.alerts.findings import Finding, Look
from django_jobs.engine.alerts.rules import (
    breaker_open,
    dead_letters,
    duty_stalled,
    no_worker,
    queue_waiting,
    schedule_cannot_fire,
    type_failing,
)

#: Returns what is wrong, or None where that cannot be told yet.
Rule: TypeAlias = Callable[[Look], list[Finding] | None]


#: The rules that the scheduler evaluates, by name. That no scheduler runs is found by whoever reads the alarms.
EVALUATED: Final[Mapping[str, Rule]] = {
    # First, since what holds a duty up may hold up another rule.
    thresholds.DUTY_STALLED: duty_stalled.find,
    thresholds.NO_WORKER: no_worker.find,
    thresholds.BREAKER_OPEN: breaker_open.find,
    thresholds.TYPE_FAILING: type_failing.find,
    # Behind the failing types, whose deaths it leaves out, and behind the pools without workers.
    thresholds.DEAD_LETTERS: dead_letters.find,
    thresholds.QUEUE_WAITING: queue_waiting.find,
    thresholds.SCHEDULE_CANNOT_FIRE: schedule_cannot_fire.find,
}
