"""The handlers that run in a child."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django_jobs.exceptions import JobCanceled
from tests.support.verbs import Interrupter, RunningJobs


def test_a_cancel_interrupts_the_handlers_of_these_jobs_alone() -> None:
    running, interrupters = RunningJobs(), [Interrupter(on_main_thread=False) for _ in range(3)]
    for pk, interrupter in enumerate(interrupters, start=1):
        claimed: Any = SimpleNamespace(pk=pk, attempt=1, key=(pk, 1))
        running.add(claimed, interrupter)
    running.cancel({2, 9})
    assert [interrupter.wanted for interrupter in interrupters] == [None, JobCanceled, None]
