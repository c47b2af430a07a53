"""The console on a host's own AdminSite, beside a default one that knows nothing of it: every link stays there."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.template import RequestContext, Template
from django.test import Client, RequestFactory
from django.urls import include, path

from django_jobs import create_batch, schedule_job
from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.alerts import make_alert
from tests.support.brokers import WORKER, pending_job, start
from tests.support.factories import make_job_type, make_user
from tests.support.failures import die

own = admin.AdminSite(name="own")
for model, registered in list(admin.site._registry.items()):
    own.register(model, type(registered))

urlpatterns = [
    path("admin/", admin.AdminSite(name="admin").urls),
    path("own/", own.urls),
    path("api/", include("django_jobs.api.urls")),
]

pytestmark = [pytest.mark.urls(__name__), pytest.mark.usefixtures("broker")]

LINKS: Final = re.compile(r'(?:href|action|data-djobs-live|data-[a-z-]*url)="(/[^"]*)"')
PAGES: Final = (
    "",
    "monitor/",
    "monitor/live/",
    "failure/",
    "job/",
    "job/{job}/change/",
    "job/{job}/retry/",
    "job/{job}/run-again/",
    "jobtype/",
    "jobtype/{kind}/change/",
    "jobtype/{kind}/submit/",
    "executionlog/",
    "organization/",
    "organization/{organization}/change/",
    "operation/",
    "batch/",
    "batch/{batch}/change/",
    "batch/{batch}/cancel/",
    "schedule/",
    "schedule/add/",
    "schedule/add/?job_type={kind}",
    "schedule/{schedule}/change/",
    "schedule/{schedule}/fire/",
)


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def job(organization: Organization) -> Job:
    return die(make_job_type(deduplication_window=300), organization, "Boom")


def links_of(answer: Any) -> set[str]:
    assert answer.status_code == 200
    return set(LINKS.findall(answer.content.decode()))


def test_no_link_of_a_page_leaves_the_site(subtests: pytest.Subtests, root: Client, job: Job) -> None:
    batch = create_batch(job.organization)
    parent = batch.submit(job.job_type_id)
    batch.submit(job.job_type_id, {"n": 1}, depends_on=[parent])
    schedule = schedule_job("nightly", job.job_type_id, job.organization, every=60)
    verbs.fire_now(schedule)
    names = {"kind": quote(job.job_type_id), "organization": job.organization_id, "schedule": schedule.pk}
    for page in (*PAGES, f"job/{parent.pk}/change/"):
        with subtests.test(page=page):
            address = page.format(batch=batch.pk, job=job.pk, **names)
            found = links_of(root.get(f"/own/django_jobs/{address}"))
            assert {link for link in found if link != "/" and not link.startswith(("/own/", "/static/"))} == set()


def test_a_group_of_failures_and_its_operation_stay_there(root: Client, job: Job) -> None:
    found = links_of(root.get("/own/django_jobs/failure/"))
    group = min(link.replace("&amp;", "&") for link in found if "/failure/group/" in link)
    assert f"/own/django_jobs/job/{job.pk}/change/" in links_of(root.get(group))
    fields = {
        "action": "retry_all",
        "job_type": job.job_type_id,
        "error_fingerprint": job.error_fingerprint,
        "rate": "60",
    }
    answer = root.post("/own/django_jobs/failure/act/", fields)
    assert answer["Location"].startswith("/own/django_jobs/operation/")
    links = links_of(root.get("/own/django_jobs/operation/"))
    assert any(link.startswith("/own/django_jobs/operation/") for link in links)


def test_the_same_work_is_linked_where_one_is(root: Client, job: Job) -> None:
    again = {"parameters": "{}", "priority": "1"}
    address = f"/own/django_jobs/job/{job.pk}/run-again/"
    first = root.post(address, again)["Location"]
    assert first.startswith("/own/django_jobs/job/")
    assert first in links_of(root.post(address, again))


def test_what_a_worker_runs_is_linked_there(root: Client, organization: Organization) -> None:
    verbs.announce_worker(WORKER, verbs.broker_queue_names(), slots=1)
    running = start(pending_job(make_job_type(), organization))
    assert f"/own/django_jobs/job/{running.pk}/change/" in links_of(root.get("/own/django_jobs/monitor/"))


@pytest.mark.parametrize("said", [{"current_app": "own"}, {"site_name": "own"}])
def test_the_panel_of_alarms_stays_on_the_site_of_its_page(root: Client, said: dict[str, str]) -> None:
    make_alert("no_worker", "default")
    request: Any = RequestFactory().get("/")
    request.user, request.current_app = User.objects.get(), said.get("current_app")
    shown = Template("{% load django_jobs_admin %}{% alarm_panel %}").render(RequestContext(request, said))
    assert "/own/django_jobs/worker/" in LINKS.findall(shown)
