"""All that django_jobs does for an organization, for one that is the host's own."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from django_jobs import cancel_job, get_job_status, get_organization_model, list_jobs, retry_job, submit_job
from django_jobs.conf import jobs_settings
from django_jobs.exceptions import InvalidSubmission, JobNotFound, PermissionDenied
from django_jobs.models import Job, Membership, Organization, OrganizationActivity, Span
from django_jobs.testing import run_jobs
from tests.support import tasks, verbs
from tests.support.brokers import WORKER, MemoryBroker, end, raised, reread, returned
from tests.support.checks import checked
from tests.support.commands import call
from tests.support.factories import make_job_type, make_user
from tests.support.tuning import forget_everything
from tests.support.verbs import TENANT_NOT_FOUND, RecordingRunner, Scheduler
from tests.swapped.models import Seat

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]

Tenant: Any = get_organization_model()


def make_tenant(name: str) -> Any:
    return Tenant.objects.create(**{jobs_settings.ORGANIZATION_ID_FIELD: name})


def make_seat(tenant: Any, **fields: Any) -> Any:
    user = make_user()
    Seat.objects.create(user=user, tenant=tenant, **fields)
    return user


@pytest.fixture
def tenant() -> Any:
    return make_tenant("acme")


@pytest.fixture
def job(tenant: Any) -> Job:
    """A waiting job of the tenant, which no user owns."""
    return submit_job(make_job_type(), tenant)


def claimed(broker: MemoryBroker) -> list[Any]:
    """What a worker gets of all that may go."""
    verbs.forget_claim_verdicts()
    verbs.dispatch()
    return verbs.claim(broker.take_all(), WORKER)


def test_jobs_are_claimed_by_the_keys_and_ids_of_their_tenants(broker: MemoryBroker, tenant: Any) -> None:
    kind, owner = make_job_type(), make_seat(tenant)
    for _ in range(2):
        submit_job(kind, tenant, user=owner)
    verbs.dispatch()
    first, second = broker.take_all()
    (like,) = verbs.claim([first], WORKER)
    (found,) = verbs.claim([second], WORKER)
    assert (found.organization_pk, found.organization, found.row.owner_id) == (tenant.pk, "acme", owner.pk)
    assert (found.organization_pk, found.handler) == (like.organization_pk, like.handler)


def suspend(tenant: Any, state: str = "late") -> None:
    Tenant.objects.filter(pk=tenant.pk).update(state=state)


def test_the_migrations_make_no_table_for_the_built_in_organization() -> None:
    assert Organization._meta.db_table not in connection.introspection.table_names()


def test_the_migrations_are_complete() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_the_checks_have_nothing_to_say() -> None:
    assert [*checked("E003"), *checked("E010", "E011", "W011"), *checked("E012")] == []


def test_membership_stays_out_of_the_admin() -> None:
    assert not admin.site.is_registered(Membership)
    assert apps.get_model("django_jobs", "Membership") is Membership


@pytest.mark.parametrize("page", ["job", "jobtype", "executionlog"])
def test_the_admin_shows_the_tenants_jobs(client: Client, job: Job, page: str) -> None:
    client.force_login(make_user(is_superuser=True, is_staff=True))
    assert client.get(f"/admin/django_jobs/{page}/").status_code == 200
    assert client.get(f"/admin/django_jobs/job/{job.pk}/change/").status_code == 200


def test_a_job_is_submitted_by_the_tenants_id_and_runs_to_its_end(tenant: Any, broker: MemoryBroker) -> None:
    job = submit_job(make_job_type(), "acme", {"month": 3})
    (attempt,) = claimed(broker)
    assert (attempt.organization_pk, attempt.organization) == (tenant.pk, "acme")
    end(returned(attempt, {"rows": 1}))
    status = get_job_status(job)
    assert (status.status, status.organization, status.result) == ("Completed", "acme", {"rows": 1})


def test_an_unknown_id_is_refused(tenant: Any) -> None:
    with pytest.raises(InvalidSubmission, match="organization"):
        submit_job(make_job_type(), "other")


def test_tenants_take_turns(broker: MemoryBroker) -> None:
    kind = make_job_type()
    for tenant in [make_tenant(name) for name in ("a", "b", "c", "d", "e")] * 3:
        submit_job(kind, tenant)
    first, second = claimed(broker), claimed(broker)
    assert (len(first), len(second)) == (8, 7)
    assert len({attempt.organization_pk for attempt in first[:5]}) == 5
    assert {attempt.organization_pk for attempt in first[:3]}.isdisjoint(
        attempt.organization_pk for attempt in second[:2]
    )


def test_jobs_of_a_suspended_tenant_wait(tenant: Any, job: Job, broker: MemoryBroker) -> None:
    suspend(tenant)
    assert claimed(broker) == []
    assert (reread(job).status, get_job_status(job).waiting_for) == ("Pending", "organization_inactive")
    suspend(tenant, "paying")
    forget_everything()  # for a second the answer is remembered
    assert [attempt.pk for attempt in claimed(broker)] == [job.pk]


def test_jobs_of_a_deleted_tenant_are_ended_by_the_scheduler(tenant: Any, job: Job) -> None:
    tenant.delete()
    Scheduler("one").tick()
    row = reread(job)
    assert (row.status, row.error_message, row.organization_name) == ("Dead Letter", TENANT_NOT_FOUND, "acme")


def test_a_tenant_that_the_default_manager_hides_is_gone(tenant: Any, job: Job) -> None:
    Tenant.everything.update(deleted_at=timezone.now())
    with pytest.raises(InvalidSubmission):
        submit_job(make_job_type(), "acme")
    Scheduler("one").tick()
    assert (reread(job).status, reread(job).error_message) == ("Dead Letter", TENANT_NOT_FOUND)


def test_a_job_is_canceled_and_retried_by_the_tenants_managers(tenant: Any, job: Job, broker: MemoryBroker) -> None:
    manager = make_seat(tenant, is_manager=True)
    (attempt,) = claimed(broker)
    end(raised(attempt, "Permanent"))
    assert retry_job(job, user=manager).attempt == 1
    assert cancel_job(job, user=manager).status == "Canceled"


def test_members_see_their_tenants_jobs_and_no_others(tenant: Any, job: Job) -> None:
    member, stranger = make_seat(tenant), make_seat(make_tenant("other"))
    assert [status.job_id for status in list_jobs(user=member)] == [job.name]
    assert [status.job_id for status in list_jobs("acme", user=member)] == [job.name]
    assert list_jobs(user=stranger) == list_jobs(user=AnonymousUser()) == []
    with pytest.raises(JobNotFound):
        get_job_status(job, user=stranger)
    with pytest.raises(PermissionDenied):
        cancel_job(job, user=member)


def test_nobody_sees_the_jobs_of_a_tenant_without_members(tenant: Any, job: Job) -> None:
    assert not Job.objects.visible_to(AnonymousUser()).exists()
    assert not Job.objects.visible_to(make_user(is_superuser=True, is_active=False)).exists()


def test_what_owners_may_is_asked_again_at_the_claim(tenant: Any, broker: MemoryBroker) -> None:
    job = submit_job(make_job_type(), tenant, user=make_seat(tenant))
    Seat.objects.all().delete()
    assert claimed(broker) == []
    assert reread(job).status == "Dead Letter"


def test_a_tenant_is_erased_by_its_id_while_it_lives_and_afterwards(
    tenant: Any, job: Job, broker: MemoryBroker
) -> None:
    second = submit_job(make_job_type(), tenant)
    first_attempt, second_attempt = claimed(broker)
    end(returned(first_attempt))
    reference = verbs.save_output(tenant.pk, job.name, "a.txt", b"x")
    assert call("jobs_prune", "--organization", "acme", "--yes", "--json").facts["deleted"] == 1
    assert not default_storage.exists(reference)
    end(returned(second_attempt))
    key = str(tenant.pk)
    tenant.delete()
    assert call("jobs_prune", "--organization-pk", key, "--yes", "--json").facts["deleted"] == 1
    assert not Job.objects.filter(pk=second.pk).exists()


def test_the_tables_are_those_of_this_model() -> None:
    assert checked("E019") == []


def test_a_handler_gets_its_tenant_by_the_key(tenant: Any, job: Job, broker: MemoryBroker) -> None:
    setattr(tenant, jobs_settings.ORGANIZATION_ID_FIELD, "renamed")
    tenant.save()
    (attempt,) = claimed(broker)
    context = verbs.context_for(attempt, RecordingRunner())
    assert (context.organization, context.organization_pk) == ("renamed", tenant.pk)
    assert context.get_organization() == tenant


def test_the_commands_know_the_tenants(tenant: Any, job: Job) -> None:
    assert call("jobs_status", "--json").facts["unfinished"]["Pending"] == 1


@pytest.mark.usefixtures("alone")
def test_the_tenants_activity_is_kept(job: Job) -> None:
    verbs.catch_up_rollups()
    row = OrganizationActivity.objects.get(span=Span.DAY)
    assert (row.organization_id, row.organization_name, row.submitted) == (job.organization_id, "acme", 1)


def test_the_system_organization_is_a_row_that_the_host_makes(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": "system"}
    with pytest.raises(InvalidSubmission, match="SYSTEM_ORGANIZATION"):
        submit_job(make_job_type(), None)
    assert [message.id for message in checked("W042")] == ["django_jobs.W042"]
    system = make_tenant("system")
    assert checked("W042") == []
    job = submit_job(make_job_type(), None)
    with pytest.raises(JobNotFound):
        get_job_status(job, user=make_seat(system, is_manager=True))
    assert get_job_status(job, user=make_user(is_superuser=True)).organization == "system"
    with pytest.raises(ValidationError) as caught:
        Membership(user=make_user(), organization=system).full_clean()
    assert [error.code for error in caught.value.error_dict["organization"]] == ["no_members"]
    Membership(user=make_user(), organization=make_tenant("acme")).full_clean()


def test_no_migrate_is_refused_for_want_of_the_system_organization(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": "system"}
    call_command("check", databases=["default"])
    monkeypatch.setattr(Tenant._meta, "db_table", "not_migrated_yet")
    assert checked("W042") == []


def test_tasks_belong_to_the_tenant_that_is_named_and_inside_a_job_to_the_jobs_own(tenant: Any) -> None:
    for named in (tenant, "acme"):
        result = tasks.enqueue_another.using(organization=named).enqueue(1)
        run_jobs()
        result.refresh()
        assert {reread(Job.objects.by_id(name)).organization for name in (result.id, result.return_value)} == {tenant}


@pytest.mark.skipif(Tenant._meta.pk.name != "key", reason="Only a UUID has several spellings.")
def test_the_system_organization_may_be_spelled_as_its_field_reads_it(settings: Any) -> None:
    system, kind = make_tenant("system"), make_job_type()
    own = {"ORGANIZATION_ID_FIELD": "key", "SYSTEM_ORGANIZATION": system.pk.hex}
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **own}
    assert submit_job(kind, None).organization == system
    with pytest.raises(PermissionDenied):
        submit_job(kind, system, user=make_seat(system, is_manager=True))


def test_an_id_that_its_field_cannot_hold_is_an_error(settings: Any) -> None:
    own = {"ORGANIZATION_ID_FIELD": Tenant._meta.pk.name, "SYSTEM_ORGANIZATION": "system"}
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **own}
    assert [message.id for message in checked("E041")] == ["django_jobs.E041"]
    assert checked("W042") == []
