"""A tenant is its key: it may be renamed, another may take its name, and neither gets anything of the other's."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from typing import Any, Final

import pytest
from django.test import Client

from django_jobs import (
    JobContext,
    get_job_history,
    get_job_metrics,
    get_job_status,
    list_jobs,
    retry_job,
    signals,
    submit_job,
)
from django_jobs.exceptions import DuplicateJob, JobNotFound, OrganizationGone, PermanentError, RateLimited
from django_jobs.models import Job, Organization
from django_jobs.testing import make_context, run_jobs
from tests.integration.conftest import Listen, Reasons
from tests.support import handlers, verbs
from tests.support.admin import chosen, superuser, url
from tests.support.api import client_of, url_of
from tests.support.brokers import WORKER, MemoryBroker, end, job_in, pending_job, reread, returned, running_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.failures import group
from tests.support.verbs import Claimed, Interpose, RecordingRunner

pytestmark = pytest.mark.usefixtures("broker")

OLD: Final = "ACME"
NEW: Final = "ACME-HOLDING"


@pytest.fixture
def tenant() -> Organization:
    return make_organization(name=OLD)


@pytest.fixture
def on_commit(django_capture_on_commit_callbacks: Any) -> Any:
    return django_capture_on_commit_callbacks


def rename(tenant: Organization) -> Organization:
    """Rename it, and let another take its name; that one."""
    tenant.name = NEW
    tenant.save()
    return make_organization(name=OLD, title="Somebody else")


def context_of(claimed: Claimed) -> JobContext:
    return verbs.context_for(claimed, RecordingRunner())


def claim_all(broker: MemoryBroker) -> list[Claimed]:
    verbs.dispatch()
    return verbs.claim(broker.take_all(), WORKER)


def test_a_handler_gets_the_id_and_the_key_that_its_tenant_has_now(tenant: Organization, broker: MemoryBroker) -> None:
    job = pending_job(organization=tenant)
    rename(tenant)
    (claimed,) = claim_all(broker)
    context = context_of(claimed)
    assert (context.organization, context.organization_pk) == (NEW, tenant.pk)
    assert context.get_organization() == tenant
    assert reread(job).organization_name == OLD


def test_an_answer_of_the_policy_that_is_remembered_holds_for_no_other_name(
    tenant: Organization, broker: MemoryBroker
) -> None:
    kind = make_job_type()
    pending_job(kind, tenant)
    assert context_of(claim_all(broker)[0]).organization == OLD
    rename(tenant)
    pending_job(kind, tenant)
    assert context_of(claim_all(broker)[0]).organization == NEW


def test_a_remembered_answer_lets_no_job_of_a_deleted_tenant_run(
    tenant: Organization, broker: MemoryBroker, reasons: Reasons
) -> None:
    kind = make_job_type()
    pending_job(kind, tenant)
    claim_all(broker)
    late = pending_job(kind, tenant)
    verbs.dispatch()
    Organization.objects.filter(pk=tenant.pk).delete()
    assert verbs.claim(broker.take_all(), WORKER) == []
    assert (reread(late).status, reasons(late)) == ("Dead Letter", ["organization_gone"])


def test_a_tenant_that_was_deleted_while_its_job_runs_is_said_to_be_gone(tenant: Organization) -> None:
    _, claimed = running_job(organization=tenant)
    context = context_of(claimed)
    pk = tenant.pk
    tenant.delete()
    with pytest.raises(OrganizationGone, match="'ACME'") as gone:
        context.get_organization()
    assert gone.value.organization_pk == pk
    assert isinstance(gone.value, PermanentError)


def test_run_jobs_gives_handlers_the_id_of_now(tenant: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def look(context: JobContext) -> None:
        seen.append((context.organization, context.organization_pk, context.get_organization()))

    monkeypatch.setattr(look, "__module__", handlers.__name__)
    monkeypatch.setattr(handlers, "look", look, raising=False)
    submit_job(make_job_type("look"), tenant)
    rename(tenant)
    (status,) = run_jobs()
    assert seen == [(NEW, tenant.pk, tenant)]
    assert status.organization == NEW


def test_a_context_for_a_test_takes_an_instance(tenant: Organization) -> None:
    context = make_context(organization=tenant)
    assert (context.organization, context.organization_pk, context.get_organization()) == (OLD, tenant.pk, tenant)
    assert make_context(organization="X", organization_pk=tenant.pk).get_organization() == tenant
    assert context.save_output("a.txt", "a").startswith(f"django_jobs/{tenant.pk}/")


def told_by_rest(job: Job) -> Any:
    return client_of(make_system_admin()).get(url_of(job)).json()["organization"]


def told_by_the_list_of_rest(job: Job) -> Any:
    return client_of(make_system_admin()).get("/api/jobs/").json()["results"][0]["organization"]


def told_by_a_method(job: Job) -> Any:
    call = "/api/method/dartwing.dartwing_core.api.jobs.get_job_status"
    return client_of(make_system_admin()).get(call, {"job_id": job.name}).json()["message"]["organization"]


def told_by_the_export(job: Job) -> Any:
    response: Any = superuser().post(url("job", "changelist"), chosen("export", job))
    (row,) = csv.DictReader(response.getvalue().decode().splitlines())
    return row["organization"]


def told_by_the_websocket(job: Job) -> Any:
    logs = [row["id"] for row in get_job_history(job)]
    return json.loads(verbs.status_events(logs)[0].data)["organization"]


ANSWERS: Final[dict[str, Callable[[Job], Any]]] = {
    "get_job_status": lambda job: get_job_status(job).organization,
    "list_jobs": lambda job: list_jobs(job_type=job.job_type_id)[0].organization,
    "REST": told_by_rest,
    "REST's list": told_by_the_list_of_rest,
    "a method": told_by_a_method,
    "the export": told_by_the_export,
    "the websocket": told_by_the_websocket,
}


@pytest.mark.parametrize("door", ANSWERS)
def test_every_door_tells_the_id_of_now(door: str, tenant: Organization) -> None:
    job = job_in("Completed", organization=tenant)
    rename(tenant)
    assert ANSWERS[door](job) == NEW


@pytest.mark.parametrize("door", ANSWERS)
def test_every_door_tells_the_remembered_id_of_a_tenant_that_is_gone(door: str, tenant: Organization) -> None:
    job = job_in("Completed", organization=tenant)
    tenant.delete()
    assert ANSWERS[door](job) == OLD


def test_the_admins_pages_tell_the_id_of_now(root: Client, tenant: Organization) -> None:
    job = job_in("Dead Letter", organization=tenant)
    rename(tenant)
    for page in (url("job", "changelist"), url("job", "change", job.pk), group(reread(job))):
        shown = root.get(page).content.decode()
        assert NEW in shown


def test_the_admin_tells_a_deleted_tenant_from_the_one_that_has_its_id_now(root: Client, tenant: Organization) -> None:
    job_in("Completed", organization=tenant)
    tenant.delete()
    make_organization(name=OLD)
    assert "<small>deleted</small>" in root.get(url("job", "changelist")).content.decode()


def test_signals_tell_the_id_of_now(tenant: Organization, listen: Listen, on_commit: Any) -> None:
    told: list[str] = []
    listen(signals.job_finished, lambda status, **kwargs: told.append(status.organization))
    _, claimed = running_job(organization=tenant)
    rename(tenant)
    with on_commit(execute=True):
        end(returned(claimed))
    assert told == [NEW]


def test_log_lines_tell_the_id_of_now(tenant: Organization, caplog: pytest.LogCaptureFixture, on_commit: Any) -> None:
    _, claimed = running_job(organization=tenant)
    rename(tenant)
    with caplog.at_level(logging.INFO, "django_jobs"), on_commit(execute=True):
        end(returned(claimed))
    (record,) = [item for item in caplog.records if getattr(item, "event", "") == "completed"]
    assert record.organization == NEW  # type: ignore[attr-defined]
    assert f"organization={NEW}" in record.getMessage()


def test_log_lines_ask_for_a_tenant_once_a_second(tenant: Organization) -> None:
    verbs.forget_organization_ids()
    names = {tenant.pk: "as submitted", 0: "gone"}
    assert verbs.recent_organization_ids(names) == {tenant.pk: OLD, 0: "gone"}
    rename(tenant)
    assert verbs.recent_organization_ids(names) == {tenant.pk: OLD, 0: "gone"}


def test_progress_is_told_with_the_id_of_now(tenant: Organization) -> None:
    job, _ = running_job(organization=tenant)
    Job.objects.filter(pk=job.pk).update(progress=5)
    rename(tenant)
    (event,) = verbs.progress_events([job.pk])
    assert (event.organization, f'"{NEW}"' in event.data) == (NEW, True)
    ((event, _),) = verbs.running_progress(tenant.pk)
    assert event.organization == NEW


@pytest.mark.parametrize("goes", [rename, lambda tenant: (tenant.delete(), make_organization(name=OLD))[1]])
def test_who_takes_the_id_gets_nothing_of_the_other(goes: Callable[[Organization], Organization]) -> None:
    tenant = make_organization(name=OLD)
    job = job_in("Failed", organization=tenant)
    heir = goes(tenant)
    user = make_user(admin_of=[heir])
    assert list_jobs(OLD, user=user) == list_jobs(OLD) == []
    assert list_jobs(user=user) == []
    for verb in (get_job_status, get_job_history, retry_job):
        with pytest.raises(JobNotFound):
            verb(job.name, user=user)
    assert sum(get_job_metrics(OLD, user=user)["job_count_by_status"].values()) == 0
    assert client_of(user).get("/api/jobs/", {"organization": OLD}).json()["count"] == 0
    assert client_of(user).get(url_of(job)).status_code == 404


def test_duplicates_and_rates_follow_the_key(tenant: Organization) -> None:
    kind = make_job_type(deduplication_window=300, rate_limit=1, rate_limit_window=60)
    submit_job(kind, OLD, {"a": 1})
    rename(tenant)
    assert submit_job(kind, OLD, {"a": 1}).organization_id != tenant.pk
    with pytest.raises(DuplicateJob):
        submit_job(kind, NEW, {"a": 1})
    with pytest.raises(RateLimited):
        submit_job(kind, NEW, {"a": 2})


def test_the_organization_of_a_log_line_is_no_reason_to_fail(tenant: Organization, interpose: Interpose) -> None:
    def fail(pks: Any) -> Any:
        raise ValueError

    interpose("current_organization_ids", fail)
    verbs.forget_organization_ids()
    assert verbs.recent_organization_ids({tenant.pk: "as submitted"}) == {tenant.pk: "as submitted"}
