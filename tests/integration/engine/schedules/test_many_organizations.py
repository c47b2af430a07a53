"""One firing for ten thousand organizations."""

from __future__ import annotations

import time

import pytest

from django_jobs.engine.schedules.firing import fire_due
from django_jobs.models import Job, Organization, ScheduledJob
from tests.support.schedules import NOON, make_schedule

COUNT = 10_000
#: Patience, for machines that do other things. On PostgreSQL it takes a tenth of that.
SECONDS = 30.0


@pytest.mark.django_db
@pytest.mark.usefixtures("nothing_is_dispatched")
def test_ten_thousand_organizations_get_their_jobs_within_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    Organization.objects.bulk_create(Organization(name=f"T-{number}") for number in range(COUNT))
    make_schedule(jitter=600)
    started = time.monotonic()
    [fired] = fire_due(NOON)
    took = time.monotonic() - started
    with capsys.disabled():
        print(f" {COUNT} organizations in {took:.2f} s")  # noqa: T201
    assert (fired.submitted, Job.objects.count(), ScheduledJob.objects.count()) == (COUNT,) * 3
    assert took < SECONDS
