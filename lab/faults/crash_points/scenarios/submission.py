"""What a web process does: one job, many, delayed ones, with parents, in a transaction of the host's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from django_jobs import submit_for_each, submit_job, submit_jobs
from django_jobs.models import Job
from django_jobs.statuses import Status
from lab.faults.crash_points.processes import Ending
from lab.faults.crash_points.scenario import Scenario
from lab.faults.crash_points.world import ONCE, ORGANIZATIONS, PLAIN, queued, submitted

ORGANIZATION: Final = ORGANIZATIONS[0]


def submit_one(given: Any) -> int:
    return submit_job(ONCE, ORGANIZATION, {"number": 1}).pk


def submit_again(given: Any, ending: Ending) -> int:
    """A client that got no answer asks again, and must get the job that may be there."""
    return submit_job(ONCE, ORGANIZATION, {"number": 1}, on_duplicate="return").pk


def one_completed(given: Any, ending: Ending) -> Iterator[str]:
    statuses = list(Job.objects.filter(job_type_id=ONCE).values_list("status", flat=True))
    if statuses != [Status.COMPLETED]:
        yield f"The job that was submitted again is {statuses}."


def submit_in_transaction(given: Any) -> None:
    with transaction.atomic():
        Group.objects.create(name="of the host")
        submit_job(PLAIN, ORGANIZATION, {"number": 1})
        submit_job(PLAIN, ORGANIZATION, {"number": 2})


def forget_group() -> None:
    Group.objects.all().delete()


def with_the_host(given: Any, ending: Ending) -> Iterator[str]:
    count, is_committed = Job.objects.count(), Group.objects.exists()
    if count != 2 * is_committed:
        yield f"The host's row is {'there' if is_committed else 'not there'}, and there are {count} jobs."
    if ending.has_returned and not is_committed:
        yield "What was committed is not there."


def submit_delayed(given: Any) -> int:
    return submit_job(PLAIN, ORGANIZATION, run_at=timezone.now() + dt.timedelta(hours=1)).pk


def family() -> list[int]:
    waiting, ready = submitted(), queued()
    return [waiting.pk, ready.pk]


def submit_child(given: list[int]) -> int:
    return submit_job(PLAIN, ORGANIZATION, depends_on=list(Job.objects.filter(pk__in=given))).pk


def submit_many(given: list[int]) -> int:
    parent = Job.objects.get(pk=given[0])
    items: list[dict[str, Any]] = [
        {"job_type": ONCE, "organization": ORGANIZATION, "parameters": {"number": number}} for number in range(3)
    ]
    items.append({"job_type": PLAIN, "organization": ORGANIZATION, "depends_on": [parent.name]})
    return len(submit_jobs(items))


def all_or_none(given: list[int], ending: Ending) -> Iterator[str]:
    count = Job.objects.exclude(pk__in=given).count()
    if count not in ({4} if ending.has_returned else {0, 4}):
        yield f"Of four jobs that were submitted at once there are {count}."


def submit_everywhere(given: Any) -> int:
    return len(submit_for_each(PLAIN, ORGANIZATIONS).submitted)


def at_most_one_each(given: Any, ending: Ending) -> Iterator[str]:
    found = sorted(Job.objects.values_list("organization_name", flat=True))
    if found != sorted(set(found)) or (ending.has_returned and len(found) != len(ORGANIZATIONS)):
        yield f"The organizations with a job are {found}."


def earlier() -> int:
    return queued(ONCE, unique_key="work", parameters={"number": 1}).pk


def replace(given: int) -> int:
    return submit_job(ONCE, ORGANIZATION, {"number": 2}, unique_key="work", on_duplicate="replace").pk


def is_replaced(given: int, ending: Ending) -> Iterator[str]:
    jobs = list(Job.objects.all())
    if [job.pk for job in jobs] != [given]:
        yield f"The replaced job {given} has become the jobs {jobs}."
    if ending.has_returned and jobs[0].input_parameters != {"number": 2}:
        yield f"The job {given} was replaced, and ran with {jobs[0].input_parameters}."


def is_there(given: Any, ending: Ending) -> Iterable[str]:
    if ending.has_returned and not Job.objects.filter(pk=ending.value, status=Status.COMPLETED).exists():
        yield f"The job {ending.value} was submitted and did not complete."


SCENARIOS: Final = (
    Scenario(name="submit", act=submit_one, before_recovery=submit_again, check=one_completed),
    Scenario(
        name="submit in a transaction",
        is_full=True,
        prepare=forget_group,
        act=submit_in_transaction,
        check=with_the_host,
    ),
    Scenario(name="submit delayed", act=submit_delayed, check=is_there),
    Scenario(name="submit with parents", prepare=family, act=submit_child, check=is_there),
    Scenario(name="submit many", is_full=True, prepare=family, act=submit_many, check=all_or_none),
    Scenario(name="submit for each organization", is_full=True, act=submit_everywhere, check=at_most_one_each),
    Scenario(name="submit in place of an earlier one", is_full=True, prepare=earlier, act=replace, check=is_replaced),
)
