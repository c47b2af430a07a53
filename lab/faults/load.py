"""What the processes of a test do: make what jobs need, submit them for as long as they live, and judge the end."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Final

from django.db import Error, connections

from django_jobs import cancel_job, submit_job, submit_jobs
from django_jobs.exceptions import JobsError
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import UNFINISHED, Status
from lab.faults.audit import audit

TENANTS: Final = ("ORG-A", "ORG-B", "ORG-C")
WORK: Final = "recorded_work"
DEAF: Final = "deaf"
#: Seconds for which a key keeps the same work out; longer than any test.
WINDOW: Final = 24 * 3600
#: Seconds between two submissions.
PAUSE: Final = 0.1


def prepare() -> None:
    """Make the tenants and the job types."""
    for name in TENANTS:
        Organization.objects.create(name=name, title=name)
    for name, handler in {
        WORK: "tests.support.recorded_handlers.work",
        DEAF: "tests.support.handlers.swallow_everything",
    }.items():
        JobType.objects.create(
            type_name=name, display_name=name, handler_method=handler, submit_by="code", retry_delay=1
        )


def submit_some(count: int, seconds: float, tenant: str = TENANTS[0]) -> None:
    """Submit so many jobs that run for so long."""
    parameters = [{"seconds": seconds, "number": number} for number in range(count)]
    submit_jobs(
        [
            {"job_type": WORK, "organization": tenant, "parameters": item, "deduplication_window": 0}
            for item in parameters
        ]
    )


def submit_deaf() -> None:
    """Submit a job whose handler ignores everything."""
    submit_job(DEAF, TENANTS[0], deduplication_window=0)


def cancel_all() -> None:
    """Cancel what has not ended."""
    for job in Job.primary.filter(status__in=sorted(UNFINISHED)):
        cancel_job(job)


def submit_for_ever(promises: str, *seconds: float) -> None:
    """Submit jobs that run for so long, by attempt, and note each in the file when its submission was acknowledged.

    What was not acknowledged is submitted again with the same key, so that each work exists once.
    """
    for number, tenant in enumerate(itertools.cycle(TENANTS)):
        job = _submit(tenant, f"{os.getpid()}-{number}", list(seconds))
        with Path(promises).open("a") as file:
            file.write(f"{job.pk} {time.monotonic():.6f}\n")
        time.sleep(max(PAUSE, seconds[0] / 4))


def _submit(tenant: str, key: str, seconds: list[float]) -> Job:
    while True:
        try:
            parameters = {"seconds": seconds, "key": key}
            return submit_job(
                WORK, tenant, parameters, unique_key=key, deduplication_window=WINDOW, on_duplicate="return"
            )
        except (Error, JobsError) as error:
            print(f"not submitted: {error!r}", flush=True)
            connections.close_all()  # as Django does before the next request
            time.sleep(0.05)


def judge(promises: str, record: str, *, lost_rows: bool) -> None:
    """Print as JSON what the auditor finds, how many jobs completed, and how many promised ones are gone.

    With ``lost_rows`` the database was allowed to forget what it had acknowledged last: submissions, and claims, so
    that an attempt may run twice.
    """
    promised = {int(line.split()[0]) for line in Path(promises).read_text().splitlines()}
    there = set(Job.primary.values_list("pk", flat=True))
    found = audit(submitted=promised & there) if lost_rows else audit(submitted=promised, record=Path(record))
    completed = Job.primary.filter(status=Status.COMPLETED).count()
    answer = {"findings": found, "completed": completed, "gone": len(promised - there), "promised": len(promised)}
    print("JUDGED " + json.dumps(answer))
