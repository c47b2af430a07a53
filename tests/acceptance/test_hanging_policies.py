"""A policy that hangs for one tenant, under real workers and schedulers: the others notice nothing."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs import create_batch, get_batch_status, submit_jobs
from django_jobs.models import Job, Schedule
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization
from tests.support.schedules import make_schedule
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

SETTINGS = {"ACCESS_POLICY": "tests.support.policies.HangingForOne", "POLICY_SECONDS": 2}


@pytest.mark.slots("one", reason="all claim in the same way")
def test_the_jobs_batches_and_schedules_of_others_go_on(processes: ProcessPool) -> None:
    kind = make_job_type(deduplication_window=0)
    tenants = [make_organization(name=name) for name in ("HANGS", "GOES-ON")]
    batches = []
    for tenant in tenants:
        submit_jobs([{"job_type": kind, "organization": tenant, "parameters": {"n": n}} for n in range(20)])
        batch = create_batch(tenant, then={"job_type": kind.pk})
        batch.submit(kind, {"n": "batch"})
        batch.close()
        batches.append(batch)
        make_schedule(kind, tenant, name=f"every second of {tenant.name}", every=1, due=verbs.now())
    Schedule.objects.update(created_at=verbs.now() - dt.timedelta(seconds=1))
    processes.worker("--processes", "2", settings=SETTINGS)

    def of_other() -> bool:
        jobs = Job.objects.filter(organization=tenants[1])
        return jobs.filter(status="Completed").count() >= 20 + 2 + 2  # and the schedule has fired twice

    wait_until(of_other, 30, "the other tenant's jobs")
    assert get_batch_status(batches[1]).then_job is not None
    assert not Job.objects.filter(organization=tenants[0], status="Completed").exists()
