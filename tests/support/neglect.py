"""Jobs that wait for long, and what ``jobs_check`` says of them."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, pending_job, reread, ticket_of
from tests.support.verbs import Finding

NONE: Final = "none"


def told() -> Finding:
    (finding,) = [item for item in verbs.examine() if item.subject == "waiting jobs"]
    return finding


def neglect(kind: JobType, organization: Organization, count: int = 1) -> list[Job]:
    """Jobs that wait since an hour ago, though nobody dispatched them."""
    broker = MemoryBroker()
    broker.is_down = True
    verbs.use_broker(broker)
    jobs = [pending_job(kind, organization, parameters={"account": 1}) for _ in range(count)]
    broker.is_down = False
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(ready_at=verbs.now() - dt.timedelta(hours=1))
    return jobs


def run_one(kind: JobType, organization: Organization, worker_name: str = "worker-1") -> None:
    """A job that the dispatcher has queued, which knows of its start therefore, and a worker has claimed."""
    job = pending_job(kind, organization, parameters={"account": 1})
    verbs.dispatch()
    assert verbs.claim([ticket_of(reread(job), kind.pool)], worker_name)
