"""Verbs as they must not be: they show that a boundary which breaks a promise is found."""

from __future__ import annotations

from typing import Final

from django_jobs.models import Job
from django_jobs.statuses import Status
from lab.faults.crash_points.scenario import Scenario
from lab.faults.crash_points.scenarios.execution import one, settle_as
from lab.faults.crash_points.world import ran


def complete_in_two_steps(given: list[int]) -> None:
    """Take the job from everybody before it is settled: who dies in between leaves a job that waits for nothing."""
    Job.objects.filter(pk=given[0]).update(status=Status.PENDING, ready_at=None)
    Job.objects.filter(pk=given[0]).update(status=Status.QUEUED, ready_at=None)
    settle_as(ran)(given)


SCENARIOS: Final = (Scenario(name="complete in two steps", prepare=one(), act=complete_in_two_steps),)
