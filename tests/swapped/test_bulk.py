"""Many submissions at once, for organizations whose keys are of the host's kind."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import get_organization_model, submit_jobs
from django_jobs.conf import jobs_settings
from django_jobs.exceptions import DuplicateJob
from django_jobs.models import ExecutionLog
from tests.support.brokers import reread
from tests.support.factories import make_job_type

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]

Tenant: Any = get_organization_model()


def make_tenant(name: str) -> Any:
    return Tenant.objects.create(**{jobs_settings.ORGANIZATION_ID_FIELD: name})


@pytest.mark.parametrize("count", [1, 2])
def test_jobs_and_their_log_rows_belong_to_the_tenants_that_were_named(count: int) -> None:
    kind = make_job_type(deduplication_window=60)
    tenants = [make_tenant(f"acme-{number}") for number in range(count)]
    names = [getattr(tenant, jobs_settings.ORGANIZATION_ID_FIELD) for tenant in tenants]
    items = [{"job_type": kind, "organization": named} for named in [*tenants[:1], *names[1:]]]
    jobs = [reread(job) for job in submit_jobs(items)]
    assert [(job.organization, job.organization_name) for job in jobs] == list(zip(tenants, names, strict=True))
    logs = ExecutionLog.objects.order_by("pk").values_list("job_id", "organization_id")
    assert list(logs) == [(job.pk, tenant.pk) for job, tenant in zip(jobs, tenants, strict=True)]
    with pytest.raises(DuplicateJob):
        submit_jobs(items)
