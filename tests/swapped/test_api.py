"""The API of a host with its own tenants."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import submit_job
from django_jobs.models import Job
from tests.support.api import client_of, codes, url_of
from tests.support.factories import make_job_type
from tests.swapped.test_tenants import make_seat, make_tenant

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("broker"),
    pytest.mark.urls("tests.swapped.urls"),
]


@pytest.fixture
def tenant() -> Any:
    return make_tenant("acme")


def test_a_member_submits_and_follows_the_jobs_of_the_tenant(tenant: Any) -> None:
    client = client_of(make_seat(tenant))
    body = {"job_type": make_job_type().pk, "organization": "acme"}
    told = client.post("/api/jobs/", body, "json").json()
    assert told["organization"] == "acme"
    assert client.post("/api/jobs/bulk/", [body], "json").status_code == 201
    assert client.get("/api/jobs/", {"organization": "acme"}).json()["count"] == 2
    assert client.get(url_of(told["job_id"])).status_code == 200
    assert client.get("/api/jobs/metrics/", {"organization": "acme"}).status_code == 200


def test_a_member_makes_and_follows_a_batch_of_the_tenant(tenant: Any) -> None:
    client = client_of(make_seat(tenant))
    told = client.post("/api/batches/", {"organization": "acme"}, "json").json()
    assert told["organization"] == "acme"
    body = {"job_type": make_job_type().pk, "organization": "acme", "batch": told["batch_id"]}
    assert client.post("/api/jobs/", body, "json").status_code == 201
    assert client.get("/api/batches/", {"organization": "acme"}).json()["results"][0]["total"] == 1
    stranger = client_of(make_seat(make_tenant("other")))
    assert stranger.get(f"/api/batches/{told['batch_id']}/").status_code == 404


@pytest.mark.parametrize("name", ["acme", "nobody", "no such key"])
def test_a_foreign_tenant_is_told_as_none(tenant: Any, name: str) -> None:
    client = client_of(make_seat(make_tenant("other")))
    kind = make_job_type()
    answer = client.post("/api/jobs/", {"job_type": kind.pk, "organization": name}, "json")
    assert (answer.status_code, codes(answer)) == (400, {"organization": ["unknown_organization"]})
    assert repr(name) in answer.json()["organization"][0]
    assert client.get(url_of(submit_job(kind, tenant))).status_code == 404
    assert client.get("/api/jobs/", {"organization": name}).status_code == 400


def test_a_suspended_tenants_results_are_withheld(tenant: Any) -> None:
    job = submit_job(make_job_type(), tenant)
    Job.objects.filter(pk=job.pk).update(result={"rows": 3})
    type(tenant).objects.filter(pk=tenant.pk).update(state="late")
    client = client_of(make_seat(tenant))
    assert client.get(url_of(job)).json()["result"] is None
    assert client.get(url_of(job, "output")).json()["code"] == "organization_inactive"


def test_a_manager_makes_and_fires_a_schedule_of_the_tenant(tenant: Any) -> None:
    client = client_of(make_seat(tenant, is_manager=True))
    body = {"name": "nightly", "job_type": make_job_type().pk, "organization": "acme", "every": 3600}
    made = client.post("/api/schedules/", body, "json").json()
    assert made["organization"] == "acme"
    assert client.get("/api/schedules/", {"organization": "acme"}).json()["count"] == 1
    assert client.post(f"{made['url']}fire/").status_code == 201
    assert client.patch(made["url"], {"every": 60}, "json").json()["every"] == 60
    make_tenant("other")
    assert client.patch(made["url"], {"organization": "other"}, "json").status_code == 400
