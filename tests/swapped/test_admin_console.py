"""The monitor and the dead letters of a host with its own tenants."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from django_jobs.models import Job, Operation, Schedule
from django_jobs.statuses import Status
from tests.support.admin import client_of, superuser
from tests.support.brokers import job_in, pending_job, reread, running_job
from tests.support.factories import make_job_type
from tests.support.operations import finish
from tests.swapped.test_tenants import make_seat, make_tenant

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("broker"),
    pytest.mark.urls("tests.swapped.urls"),
]


@pytest.fixture
def tenant() -> Any:
    return make_tenant("acme")


def staff(tenant: Any, **fields: Any) -> Any:
    """Somebody of one tenant who may look at jobs."""
    user = make_seat(tenant, **fields)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    user.user_permissions.add(Permission.objects.get(content_type__app_label="django_jobs", codename="view_job"))
    return client_of(user)


def test_the_monitor_tells_of_the_hosts_tenants(tenant: Any) -> None:
    pending_job(organization=tenant)
    running_job(organization=make_tenant("other"))
    rows = superuser().get(reverse("admin:django_jobs_monitor_changelist")).context["tenants"]
    assert {(row["running"], str(row["waiting"])) for row in rows} == {("0", "1"), ("1", "0")}


def test_staff_see_and_replay_the_jobs_of_their_tenant_alone(tenant: Any) -> None:
    kind = make_job_type()
    own, foreign = (
        job_in(Status.DEAD_LETTER, job_type=kind, organization=item) for item in (tenant, make_tenant("other"))
    )
    client = staff(tenant, is_manager=True)
    context = client.get(reverse("admin:django_jobs_failure_changelist")).context
    assert [str(row["count"]) for row in context["rows"]] == ["1"]
    fields = {"action": "retry_all", "job_type": kind.pk, "error_fingerprint": own.error_fingerprint}
    client.post(reverse("admin:django_jobs_failure_act"), fields)
    finish(Operation.objects.get())
    assert reread(own).status != Status.DEAD_LETTER
    assert reread(foreign).status == Status.DEAD_LETTER


def test_a_manager_makes_finds_and_fires_a_schedule_of_their_tenant(tenant: Any) -> None:
    client = staff(tenant, is_manager=True)
    user = User.objects.get()
    user.user_permissions.add(Permission.objects.get(codename="view_schedule"))
    kind = make_job_type()
    values = {"name": "nightly", "organization": "acme", "every": "1 h", "parameters": "{}", "jitter": "0"}
    values |= {"timezone": "UTC", "catch_up": "once", "overlap": "skip"}
    address = reverse("admin:django_jobs_schedule_add")
    assert client.post(f"{address}?job_type={kind.pk}", values).status_code == 302
    made = Schedule.objects.get()
    client.post(reverse("admin:django_jobs_schedule_change", args=[made.pk]), {**values, "every": "2 h"})
    client.post(reverse("admin:django_jobs_schedule_fire", args=[made.pk]))
    assert Job.objects.get().organization_id == tenant.pk
    listed = client.get(reverse("admin:django_jobs_schedule_changelist"), {"organization": "acme"})
    assert [(row.every, row.shown_tenant) for row in listed.context["cl"].result_list] == [(7200, "acme")]
