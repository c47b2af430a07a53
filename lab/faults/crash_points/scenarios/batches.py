"""Batches: jobs come in and end, the batch is closed, canceled and retried, and what follows it is submitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from django_jobs import cancel_batch, create_batch, retry_batch
from django_jobs.models import Batch
from django_jobs.statuses import BatchState
from lab.faults.crash_points.processes import Ending
from lab.faults.crash_points.scenario import Scenario
from lab.faults.crash_points.scenarios.control import buried
from lab.faults.crash_points.scenarios.execution import settle_as
from lab.faults.crash_points.world import PLAIN, nothing_dispatched, queued, ran, running
from tests.support import batch_audit
from tests.support.brokers import end
from tests.support.tuning import set_for_good
from tests.support.verbs import Outcome

Given = list[int]
#: Seconds: enough for what the process that is harmed does.
LONG: Final = 30


def new_batch(name: str = "one") -> Batch:
    follow: dict[str, Any] = {
        which: {"job_type": PLAIN, "parameters": {"follows": f"{name}/{which}"}} for which in ("then", "on_failure")
    }
    return create_batch("ORG-A", name=name, **follow)


def open_batch() -> Given:
    return [new_batch().pk]


def with_ticket(*, close: bool) -> Callable[[], Given]:
    """A batch, and a job of it that has a ticket."""

    def prepare() -> Given:
        batch = new_batch()
        job = queued(batch=batch)
        if close:
            batch.close()
        return [batch.pk, job.pk]

    return prepare


def ended_with(how: Callable[[Any], Outcome]) -> Callable[[], Given]:
    """A batch whose only job has ended, so that closing it is its end."""

    def prepare() -> Given:
        batch = new_batch()
        with nothing_dispatched():
            end(how(running(batch=batch)))
        return [batch.pk]

    return prepare


def failed_batch() -> Given:
    batch = new_batch()
    with nothing_dispatched():
        for _ in range(3):
            end(buried(running(batch=batch)))
        batch.close()
    return [batch.pk]


def waiting_batch() -> Given:
    batch = new_batch()
    with nothing_dispatched():
        batch.submit_many([{"job_type": PLAIN} for _ in range(3)])
        running(batch=batch)
    return [batch.pk]


def batch_of(given: Given) -> Batch:
    return Batch.primary.get(pk=given[0])


def submit(given: Given) -> None:
    batch_of(given).submit(PLAIN)


def submit_many(given: Given) -> None:
    batch_of(given).submit_many([{"job_type": PLAIN} for _ in range(3)])


def close(given: Given) -> None:
    batch_of(given).close()


def settle_last(how: Callable[[Any], Outcome]) -> Callable[[Given], None]:
    return lambda given: settle_as(how)(given[1:])


def by_pages(verb: Callable[[Batch], Any]) -> Callable[[Given], None]:
    def act(given: Given) -> None:
        set_for_good(batch_page_jobs=1, batch_call_seconds=LONG)
        verb(batch_of(given))

    return act


def closed_now(given: Given, ending: Ending) -> None:
    """What a client does next whose call to close the batch did not return."""
    if batch_of(given).closed_at is None:
        batch_of(given).close()


def agrees(given: Given, ending: Ending) -> Iterator[str]:
    yield from batch_audit.findings(at_rest=True)


def canceled_if_told(given: Given, ending: Ending) -> Iterator[str]:
    yield from agrees(given, ending)
    if ending.has_returned and batch_of(given).state != BatchState.CANCELED:
        yield f"{batch_of(given)} was canceled and is {batch_of(given).state}."


def retried_if_told(given: Given, ending: Ending) -> Iterator[str]:
    yield from agrees(given, ending)
    if ending.has_returned and batch_of(given).state != BatchState.COMPLETED:
        yield f"{batch_of(given)} was retried and is {batch_of(given).state}."


_DUTIES: Final = ("count_batches",)


def scenario(name: str, prepare: Callable[[], Given], act: Callable[[Given], Any], **fields: Any) -> Scenario:
    fields = {"before_recovery": closed_now, "check": agrees, "duties": _DUTIES, **fields}
    return Scenario(name=name, prepare=prepare, act=act, **fields)


SCENARIOS: Final = (
    scenario("submit into a batch", open_batch, submit, is_full=True),
    scenario("submit many into a batch", open_batch, submit_many, is_full=True),
    scenario("close an empty batch", open_batch, close, is_full=True),
    scenario("close a batch whose jobs completed", ended_with(ran), close, is_full=True),
    scenario("close a batch of which a job died", ended_with(buried), close, is_full=True),
    scenario("settle the last job of a batch", with_ticket(close=True), settle_last(ran)),
    scenario("settle a batch's failure", with_ticket(close=True), settle_last(buried)),
    scenario("settle a job of an open batch", with_ticket(close=False), settle_last(ran)),
    scenario("cancel a batch", waiting_batch, by_pages(cancel_batch), check=canceled_if_told, is_full=True),
    scenario("retry a batch", failed_batch, by_pages(retry_batch), check=retried_if_told, is_full=True),
)
