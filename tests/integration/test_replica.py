"""A host's router may send reads to a replica, which lags: what decides something is read where jobs are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_jobs.models import ExecutionLog, Job, Membership, Operation, Organization
from tests.support import admin, api, verbs
from tests.support.admin import chosen, codes_said, said, url
from tests.support.brokers import job_in, reread
from tests.support.factories import make_job_type, make_user
from tests.support.failures import order
from tests.support.operations import work_off
from tests.support.replicas import ReplicaReads, lagging_replica
from tests.support.verbs import Interpose

pytestmark = pytest.mark.usefixtures("broker")

LIST = "/admin/django_jobs/job/"


@pytest.fixture
def replica() -> Iterator[ReplicaReads]:
    with lagging_replica() as reads:
        yield reads


@pytest.fixture
def jobs(mine: Organization, theirs: Organization) -> list[Job]:
    """Of two organizations and two types, one that waits and one that died of each."""
    kinds = [make_job_type(max_retries=0), make_job_type(max_retries=0)]
    return [
        job_in(status, job_type=kind, organization=organization)
        for kind, organization in zip(kinds, (mine, theirs), strict=True)
        for status in ("Pending", "Dead Letter")
    ]


def test_it_lags(jobs: list[Job], mine: Organization, replica: ReplicaReads) -> None:
    assert Job.primary.exists()
    assert not Job.objects.exists()
    assert replica.read == ["Job"]
    assert not Job.objects.visible_to(make_user(member_of=[mine])).exists()


@pytest.mark.parametrize(("verb", "became"), [("cancel", "Canceled"), ("retry", "Pending")])
def test_many_jobs_are_changed_by_what_is_true_of_them(
    root: Client, jobs: list[Job], replica: ReplicaReads, verb: str, became: str
) -> None:
    fitting = jobs[0::2] if verb == "cancel" else jobs[1::2]
    assert root.post(LIST, chosen(verb, *jobs)).status_code == 200
    answer = root.post(LIST, chosen(verb, *jobs, confirmed="yes"), follow=True)
    assert codes_said(answer) == ["done", "invalid_transition"]
    assert all(job.name in said(answer)[0] for job in fitting)
    assert [reread(job).status for job in fitting] == [became, became]
    assert not replica.read


def test_a_deletion_that_was_refused_is_told_as_refused(
    root: Client, jobs: list[Job], replica: ReplicaReads, interpose: Interpose
) -> None:
    real = verbs.delete_job_rows
    gone, stays = jobs[1::2]
    interpose("delete_job_rows", lambda *_, **options: real([gone.pk], **options))
    answer = root.post(LIST, chosen("delete", gone, stays, confirmed="yes"), follow=True)
    assert codes_said(answer) == ["done", "in_use"]
    first, second = said(answer)
    assert (gone.name in first, stays.name in second) == (True, True)
    assert not replica.read


def pages(jobs: list[Job]) -> list[str]:
    """A list, a page and a form of each model."""
    lists = ("job", "executionlog", "jobtype", "organization", "membership", "operation", "failure", "monitor")
    rows: list[Any] = [*jobs, ExecutionLog.primary.latest("pk"), *(job.job_type for job in jobs[::2])]
    rows += [*Organization._default_manager.all(), *Membership.primary.all(), *Operation.primary.all()]
    return [
        *(url(name, "changelist") for name in lists),
        *(url(str(row._meta.model_name), "change", row.pk) for row in rows),
        *(url("job", "run_again", job.pk) for job in jobs),
        *(
            f"{LIST}{query}"
            for query in ("?q=ORG-MINE", "?status=Dead+Letter", f"?organization={jobs[0].organization_id}")
        ),
        f"{url('job', 'live')}?ids={','.join(str(job.pk) for job in jobs)}",
        f"{url('executionlog', 'changelist')}?job_type={jobs[0].job_type_id}",
    ]


@pytest.fixture
def manager(mine: Organization, theirs: Organization) -> User:
    """Staff who manage both organizations."""
    return make_user("manager", is_staff=True, permissions=admin.VIEWS, admin_of=[mine, theirs])


@pytest.mark.parametrize("who", ["root", "manager"])
def test_no_page_of_the_admin_reads_the_replica(root: Client, manager: User, jobs: list[Job], who: str) -> None:
    order(root, jobs[1], per_minute=1)
    client = root if who == "root" else admin.client_of(manager)
    addresses = pages(jobs)
    with lagging_replica() as replica:
        for address in addresses:
            assert client.get(address).status_code in {200} | ({302} if who == "manager" else set()), address
            assert not replica.read, address


def test_an_operation_that_is_paused_already_says_so(root: Client, jobs: list[Job]) -> None:
    order(root, jobs[1], per_minute=1)
    operation = Operation.primary.get()
    Operation.primary.update(state="paused")
    with lagging_replica():
        assert codes_said(root.post(url("operation", "pause", operation.pk), follow=True)) == ["already_paused"]


def test_an_operation_goes_on_for_somebody_whom_the_replica_does_not_know_yet(root: Client, jobs: list[Job]) -> None:
    order(root, jobs[1], per_minute=1)
    with lagging_replica(of_all=True):
        assert work_off() == 1
    assert reread(jobs[1]).status == "Pending"


def test_no_answer_of_the_api_reads_the_replica(root: Client, manager: User, jobs: list[Job]) -> None:
    client = api.client_of(manager)
    body = {"job_type": jobs[0].job_type_id, "organization": "ORG-MINE"}
    with lagging_replica() as replica:
        assert len(client.get("/api/jobs/", {"organization": "ORG-MINE"}).json()["results"]) == 2
        assert client.get(api.url_of(jobs[0])).status_code == 200
        assert client.get(api.url_of(jobs[1], "history")).status_code == 200
        assert client.get(api.url_of(jobs[1], "output")).status_code == 404
        assert client.post("/api/jobs/", body, format="json").status_code == 201
        assert client.post("/api/jobs/bulk/", [body], format="json").status_code == 201
        assert client.post(api.url_of(jobs[0], "cancel")).status_code == 200
        assert client.post(api.url_of(jobs[1], "retry")).status_code == 200
        assert client.get("/api/job-types/").status_code == 200
        assert not replica.read


def test_a_type_is_changed_as_it_is_and_deleted_unless_it_has_jobs(root: Client, jobs: list[Job]) -> None:
    client = api.client_of(User.objects.get(username="root"))
    unused = make_job_type()
    with lagging_replica() as replica:
        change = {"max_retries": 3}
        assert client.patch(f"/api/job-types/{unused.pk}/", change, format="json").status_code == 200
        assert client.delete(f"/api/job-types/{unused.pk}/").status_code == 204
        assert client.delete(f"/api/job-types/{jobs[0].job_type_id}/").status_code == 409
        assert not replica.read
