"""A real worker runs a tenant's jobs."""

from __future__ import annotations

import pytest

from django_jobs import get_organization_model, submit_job, wait_for_job
from django_jobs.conf import jobs_settings
from tests.support.factories import make_job_type
from tests.support.workers import ProcessPool

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_runs_a_tenants_job(processes: ProcessPool) -> None:
    tenant = get_organization_model()._default_manager.create(**{jobs_settings.ORGANIZATION_ID_FIELD: "acme"})
    job = submit_job(make_job_type("save_text"), tenant, {"text": "hello"})
    processes.worker("--processes", "1", environ={"DJANGO_SETTINGS_MODULE": "tests.swapped.settings"})
    status = wait_for_job(job, timeout=30)
    assert str(status.output_reference).startswith(f"django_jobs/{tenant.pk}/{job.name}/")
