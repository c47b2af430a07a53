"""Attempts of one job, one after the other, whose handlers take steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_jobs.models import Job, JobStep
from tests.support import verbs
from tests.support.attempts import FreeRunner
from tests.support.brokers import end, pending_job, start


class DurableJob:
    """A job; each call of :meth:`run` is an attempt more."""

    def __init__(self) -> None:
        self.job: Job = pending_job()
        #: What ended the last attempt; the engine forgets it once the end is stored.
        self.error: BaseException | None = None

    def run(self, handler: Callable[[Any], Any], runner: Any = None, how: Any = verbs.attempt) -> Any:
        """How the next attempt ends; its end is stored."""
        claimed = start(Job.primary.get(pk=self.job.pk))
        claimed.handler = handler
        outcome = how(claimed, verbs.context_for(claimed, runner or FreeRunner()))
        self.error = outcome.error
        self.job = end(outcome)
        return outcome

    def stored(self) -> list[tuple[int, str, Any, int]]:
        """Position, name, result and attempt of each stored step."""
        rows = JobStep.objects.filter(job_id=self.job.pk).order_by("position")
        return list(rows.values_list("position", "name", "result", "attempt"))


class Effects:
    """What steps did to the world: each is a function that notes its call."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def do(self, what: Any) -> dict[str, Any]:
        self.done.append(what)
        return {"receipt": what}

    async def ado(self, what: Any) -> dict[str, Any]:
        return self.do(what)
