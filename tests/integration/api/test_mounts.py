"""The API below a prefix that has parameters of its own: a tenant's, or a version."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import include, path
from rest_framework.test import APIClient
from rest_framework.versioning import URLPathVersioning

from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of
from tests.support.brokers import MemoryBroker, job_in, pending_job
from tests.support.cases import rolled_back
from tests.support.factories import make_system_admin, make_user
from tests.support.outputs import finished_with_file

urlpatterns = [
    path("t/<slug:tenant>/api/", include("django_jobs.api.urls")),
    path("t/<slug:tenant>/method/", include("django_jobs.api.method_urls")),
]


class Versions(URLPathVersioning):
    """As a host that has versions in its paths would set it; here the parameter has a tenant's name."""

    version_param = "tenant"


pytestmark = pytest.mark.urls(__name__)
HERE = "http://testserver/t/acme/api"


@pytest.fixture(params=[None, Versions], ids=["a tenant", "a version"], autouse=True)
def _versioning(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rest_framework.views.APIView.versioning_class", request.param)


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(admin_of=[organization]))


@pytest.fixture
def job(broker: MemoryBroker, kind: JobType, organization: Organization) -> Job:
    return pending_job(kind, organization)


def test_a_submission_is_told_where_its_job_is(client: APIClient, kind: JobType, organization: Organization) -> None:
    answer = client.post(f"{HERE}/jobs/", {"job_type": kind.pk, "organization": organization.name}, "json")
    assert (answer.status_code, answer["Location"]) == (201, f"{HERE}/jobs/{answer.json()['job_id']}/")
    assert client.get(answer["Location"]).json()["job_id"] == answer.json()["job_id"]


def test_many_are_submitted_and_listed(client: APIClient, kind: JobType, organization: Organization) -> None:
    items = [{"job_type": kind.pk, "organization": organization.name, "parameters": {"n": n}} for n in range(2)]
    assert client.post(f"{HERE}/jobs/bulk/", items, "json").status_code == 201
    told = client.get(f"{HERE}/jobs/", {"limit": 1}).json()
    assert (told["count"], told["next"]) == (2, f"{HERE}/jobs/?limit=1&offset=1")


def test_every_route_of_a_job_is_there(subtests: pytest.Subtests, client: APIClient, job: Job) -> None:
    cases: list[tuple[str, str, int]] = [
        ("get", "history/", 200),
        ("post", "cancel/", 200),
        ("post", "retry/", 409),
        ("delete", "", 403),
        ("options", "", 200),
        ("get", "output/", 404),
    ]
    for method, route, status in cases:
        with rolled_back(subtests, method=method, route=route, status=status):
            assert getattr(client, method)(f"{HERE}/jobs/{job.name}/{route}").status_code == status


def test_the_routes_of_no_single_job_are_there(client: APIClient) -> None:
    assert client.get(f"{HERE}/jobs/metrics/").status_code == 200
    assert client.post(f"{HERE}/jobs/socket-ticket/").status_code == 200


def test_the_links_of_pages_stay_below_the_prefix(client: APIClient, job: Job) -> None:
    row, page = (
        client.get(f"{HERE}/jobs/{path}", HTTP_ACCEPT="text/html").content.decode() for path in ("", f"{job.name}/")
    )
    assert f'href="{HERE}/jobs/{job.name}/"' in row
    assert f'href="{HERE}/jobs/{job.name}/history/"' in page
    assert f'href="{HERE}/jobs/{job.name}/cancel/"' in page


def test_batches_are_there_and_their_links_stay_below_the_prefix(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    made = client.post(f"{HERE}/batches/", {"organization": organization.name, "then": {"job_type": kind.pk}}, "json")
    address = f"{HERE}/batches/{made.json()['batch_id']}/"
    assert made["Location"] == address
    assert client.post(f"{address}close/").status_code == 200
    row, page = (client.get(path, HTTP_ACCEPT="text/html").content.decode() for path in (f"{HERE}/batches/", address))
    assert f'href="{address}"' in row
    assert f'href="{HERE}/jobs/?batch={made.json()["batch_id"]}"' in page
    assert f'href="{HERE}/jobs/{client.get(address).json()["then_job"]}/"' in page


def test_a_file_is_sent(client: APIClient, kind: JobType, organization: Organization) -> None:
    job = finished_with_file(organization, kind)
    answer = client.get(f"{HERE}/jobs/{job.name}/output/")
    assert answer.status_code == 200
    answer.close()


def test_job_types_are_there(broker: MemoryBroker, kind: JobType) -> None:
    client = client_of(make_system_admin())
    assert client.get(f"{HERE}/job-types/{kind.pk}/").status_code == 200
    assert client.patch(f"{HERE}/job-types/{kind.pk}/", {"is_paused": True}, "json").json()["is_paused"]


def test_methods_that_read_answer(subtests: pytest.Subtests, client: APIClient, job: Job) -> None:
    for method in ("get", "post"):
        for name in ("get_job_status", "get_job_history", "list_jobs", "get_job_metrics"):
            with subtests.test(method=method, name=name):
                fields: Any = {"job_id": job.name} if name in {"get_job_status", "get_job_history"} else {}
                path = f"/t/acme/method/dartwing.dartwing_core.api.jobs.{name}"
                assert getattr(client, method)(path, fields).status_code == 200


@pytest.mark.parametrize("name", ["cancel_job", "retry_job"])
def test_methods_that_act_answer(client: APIClient, organization: Organization, name: str) -> None:
    job = job_in("Failed", organization=organization)
    path = f"/t/acme/method/dartwing.dartwing_core.api.jobs.{name}"
    assert client.post(path, {"job_id": job.name}).status_code == 200
