"""What people do to jobs: cancel, retry, delete, operations; and what the end of a job means for its family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from django_jobs import cancel_job, retry_job
from django_jobs.models import ExecutionLog, Job, Operation
from django_jobs.statuses import TERMINAL, RunAfter, Status
from lab.faults.crash_points.processes import Ending
from lab.faults.crash_points.scenario import Scenario
from lab.faults.crash_points.scenarios.execution import completed, ended, settle_as
from lab.faults.crash_points.world import (
    PLAIN,
    SAVING,
    admin,
    nothing_dispatched,
    queued,
    ran,
    running,
    status,
    submitted,
)
from tests.support import ticks, verbs
from tests.support.brokers import end, raised, start
from tests.support.deletions import delete_jobs
from tests.support.tuning import set_for_good
from tests.support.verbs import JobFilter, OperationRequest, Outcome

Given = list[int]


def waiting() -> Given:
    return [submitted().pk]


def with_ticket() -> Given:
    return [queued().pk]


def claimed() -> Given:
    return [running().pk]


def cancel(given: Given) -> None:
    cancel_job(Job.primary.get(pk=given[0]))


def cancel_by_pages(given: Given) -> None:
    """Cancel a family that is too large for one page, in a process that ends with this."""
    set_for_good(follow_up_page_jobs=1)
    cancel(given)


def large_family() -> Given:
    parent = submitted()
    pks = [parent.pk, *(submitted(depends_on=[parent]).pk for _ in range(3))]
    with nothing_dispatched():
        verbs.follow_up()
    return pks


def canceled_if_told(given: Given, ending: Ending) -> Iterator[str]:
    found = status(given[0])
    if ending.has_returned and found != Status.CANCELED:
        yield f"Job {given[0]} was canceled and is {found}."
    if any(status(pk) not in TERMINAL for pk in given):
        yield "A job of the family has not ended."


def family(make: Callable[[], Job]) -> Callable[[], Given]:
    """A parent, its child, a grandchild, and a child that waits only for the parent's end."""

    def prepare() -> Given:
        parent = make()
        child = submitted(depends_on=[parent])
        rest = [submitted(depends_on=[child]), submitted(depends_on=[parent], run_after=RunAfter.ENDED)]
        with nothing_dispatched():
            verbs.follow_up()
        return [parent.pk, child.pk, *(job.pk for job in rest)]

    return prepare


def end_first(how: Callable[[Any], Outcome]) -> Callable[[Given], None]:
    """Claim the parent and store how it ended; what that means for its family follows the commit."""
    return lambda given: settle_as(how)(given[:1])


def buried(item: Any) -> Outcome:
    return raised(item, "Permanent")


def dead(job_type: str = PLAIN) -> Job:
    """A dead letter whose next attempt would complete."""
    with nothing_dispatched():
        return end(raised(running(job_type), "Permanent"))


def dead_family() -> Given:
    parent = submitted()
    child = submitted(depends_on=[parent])
    grandchild = submitted(depends_on=[child])
    with nothing_dispatched():
        verbs.follow_up()
        end(raised(start(parent), "Permanent"))
        verbs.follow_up()
    return [parent.pk, child.pk, grandchild.pk]


def retry(given: Given) -> None:
    retry_job(Job.primary.get(pk=given[0]))


def retried_if_told(given: Given, ending: Ending) -> Iterator[str]:
    found = {status(pk) for pk in given}
    if found != {Status.COMPLETED} and (ending.has_returned or found != {Status.DEAD_LETTER}):
        yield f"The family that was retried is {found}."


def operation(action: str) -> Callable[[], Given]:
    def prepare() -> Given:
        jobs = [dead(SAVING if action == Operation.Action.DELETE else PLAIN) for _ in range(3)]
        last = jobs[-1]
        filters = JobFilter(job_type=(last.job_type_id,), error_fingerprint=last.error_fingerprint)
        verbs.start_operation(OperationRequest(action=action, filters=filters), user=admin())
        return [job.pk for job in jobs]

    return prepare


def work_off(given: Given) -> int:
    return ticks.work_off(verbs.OperationWork().step)


def acted_once(given: Given, ending: Ending) -> Iterator[str]:
    item = Operation.objects.get()
    if (item.state, item.changed) != (Operation.State.DONE, len(given)):
        yield f"The operation on {len(given)} jobs is {item.state} and has changed {item.changed}."
    if item.action == Operation.Action.DELETE and Job.objects.filter(pk__in=given).exists():
        yield "A job that was deleted is still there."
    for pk in given if item.action == Operation.Action.RETRY else ():
        times = ExecutionLog.objects.filter(job_id=pk, from_status=Status.DEAD_LETTER).count()
        if (times, status(pk)) != (1, Status.COMPLETED):
            yield f"Job {pk} was released {times} times and is {status(pk)}."


def ended_with_files() -> Given:
    """Jobs that ended; two have files, and one has a child."""
    saved = [running(SAVING) for _ in range(2)]
    for item in saved:
        verbs.save_output(item.organization_pk, item.job_id, "output.txt", "text")
    with nothing_dispatched():
        jobs = [end(ran(item)) for item in saved]
        parent = end(ran(running()))
        child = submitted(depends_on=[parent])
        verbs.follow_up()
        end(ran(start(child)))
    return [*(job.pk for job in jobs), parent.pk, child.pk]


def delete(given: Given) -> int:
    return delete_jobs(given)


def gone_if_told(given: Given, ending: Ending) -> Iterator[str]:
    left = Job.objects.filter(pk__in=given).count()
    if ending.has_returned and left:
        yield f"Of {len(given)} deleted jobs {left} are there."


def release_children(given: Given) -> int:
    return delete_jobs(given[:1], release_children=True)


def dead_with_child() -> Given:
    parent = dead()
    child = submitted(depends_on=[parent], run_after=RunAfter.ENDED)
    completed_parent = submitted()
    other = submitted(depends_on=[completed_parent])
    return [parent.pk, child.pk, completed_parent.pk, other.pk]


SCENARIOS: Final = (
    Scenario(name="cancel a waiting job", prepare=waiting, act=cancel, check=canceled_if_told),
    Scenario(name="cancel a queued job", prepare=with_ticket, act=cancel, check=canceled_if_told),
    Scenario(name="cancel a running job", prepare=claimed, act=cancel, check=canceled_if_told),
    Scenario(name="cancel a family", is_full=True, prepare=family(submitted), act=cancel, check=canceled_if_told),
    Scenario(name="complete a family", is_full=True, prepare=family(queued), act=end_first(ran), check=completed),
    Scenario(name="fail a family", is_full=True, prepare=family(queued), act=end_first(buried), check=ended),
    Scenario(name="retry by hand", is_full=True, prepare=lambda: [dead().pk], act=retry, check=retried_if_told),
    Scenario(name="retry a family", is_full=True, prepare=dead_family, act=retry, check=retried_if_told),
    Scenario(name="delete dead letters", prepare=operation("delete"), act=work_off, check=acted_once),
    Scenario(name="delete jobs", prepare=ended_with_files, act=delete, check=gone_if_told),
    Scenario(name="delete a parent", is_full=True, prepare=dead_with_child, act=release_children),
)
