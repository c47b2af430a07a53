"""Type and organization are remembered between submissions; what somebody else changes holds at once all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model

from django_jobs import submit_job
from django_jobs.exceptions import (
    InvalidSubmission,
    JobTypeDisabled,
    JobTypeNotFound,
    OrganizationInactive,
    OrganizationNotFound,
    RateLimited,
)
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, reread
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.statements import elsewhere

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300)


@pytest.fixture
def submit(kind: JobType, organization: Organization) -> Callable[..., Job]:
    numbers = iter(range(100))

    def submit(**fields: Any) -> Job:
        return submit_job(kind.type_name, organization.name, {"number": next(numbers)}, **fields)

    verbs.forget_targets()
    submit()
    submit()
    return submit


def test_a_type_that_was_disabled_is_refused(submit: Any) -> None:
    elsewhere(JobType.objects.update, is_enabled=False)
    with pytest.raises(JobTypeDisabled):
        submit()


def test_a_type_that_was_enabled_again_is_accepted(submit: Any) -> None:
    elsewhere(JobType.objects.update, is_enabled=False)
    with pytest.raises(InvalidSubmission):
        submit()
    elsewhere(JobType.objects.update, is_enabled=True)
    assert submit().pk


def test_whom_a_type_is_for_is_judged_as_it_is_now(submit: Any, organization: Organization) -> None:
    member = make_user(member_of=[organization])
    for fields in ({"submit_by": "admins"}, {"requires_permission": "django_jobs.add_jobtype"}):
        submit(user=member)
        elsewhere(JobType.objects.update, **fields)
        with pytest.raises(JobTypeNotFound):
            submit(user=member)
        elsewhere(JobType.objects.update, submit_by="members", requires_permission="")
        assert submit(user=member).owner == member


def test_a_type_that_was_paused_is_not_dispatched(submit: Any, broker: MemoryBroker) -> None:
    broker.lose_tickets()
    elsewhere(JobType.objects.update, is_paused=True)
    assert reread(submit()).status == "Pending"
    assert broker.tickets == []


def test_a_type_that_was_deleted_is_unknown(submit: Any) -> None:
    Job.objects.all().delete()
    elsewhere(JobType.objects.all().delete)
    with pytest.raises(JobTypeNotFound):
        submit()


def test_an_organization_that_was_suspended_is_refused(submit: Any) -> None:
    elsewhere(Organization.objects.update, is_active=False)
    with pytest.raises(OrganizationInactive):
        submit()


def test_an_organization_is_unknown_by_the_name_that_it_had(submit: Any) -> None:
    elsewhere(Organization.objects.update, name="renamed")
    with pytest.raises(OrganizationNotFound):
        submit()


def test_an_organization_is_known_by_its_new_name(submit: Any, kind: JobType) -> None:
    elsewhere(Organization.objects.update, name="renamed")
    assert submit_job(kind, "renamed").organization_name == "renamed"


def test_a_name_that_another_organization_took_over_is_that_ones(submit: Any) -> None:
    elsewhere(Organization.objects.update, name="renamed")
    heir = make_organization(name=Job.objects.earliest("pk").organization_name)
    assert submit().organization == heir


def test_an_old_instance_submits_under_the_new_name(submit: Any, kind: JobType, organization: Any) -> None:
    submit_job(kind, organization)
    elsewhere(Organization.objects.update, name="renamed")
    assert submit_job(kind, organization, {"again": 1}).organization_name == "renamed"


def test_a_rate_limit_holds_from_the_next_submission_on(submit: Any) -> None:
    elsewhere(JobType.objects.update, rate_limit=2)
    with pytest.raises(RateLimited):
        submit()


def test_defaults_are_those_of_now(submit: Any) -> None:
    elsewhere(JobType.objects.update, default_priority=3, default_timeout=7, max_retries=1, retry_delay=2)
    job = reread(submit())
    assert (job.priority, job.timeout_seconds, job.max_retries, job.retry_delay) == (3, 7, 1, 2)


def test_a_window_that_was_switched_off_refuses_nothing(submit: Any, kind: Any, organization: Any) -> None:
    elsewhere(JobType.objects.update, deduplication_window=0)
    assert submit_job(kind.type_name, organization.name, {"number": 0}).pk


def test_a_change_that_was_rolled_back_is_not_remembered(submit: Any) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012  (the refusal comes first)
        JobType.objects.update(is_enabled=False)
        with pytest.raises(InvalidSubmission):
            submit()
        raise ZeroDivisionError
    assert submit().pk


def test_an_own_uncommitted_change_holds_inside_the_transaction(submit: Any) -> None:
    with transaction.atomic():
        JobType.objects.update(default_timeout=11)
        assert submit().timeout_seconds == 11
        JobType.objects.update(default_timeout=12)
        assert submit().timeout_seconds == 12


def test_a_duplicate_of_a_suspended_organization_is_refused_for_that(
    submit: Any, kind: JobType, organization: Organization
) -> None:
    elsewhere(Organization.objects.update, is_active=False)
    with pytest.raises(OrganizationInactive):
        submit_job(kind.type_name, organization.name, {"number": 0}, on_duplicate="return")


def test_nobody_gets_the_earlier_job_of_the_organization_that_had_the_name_before(
    submit: Any, kind: JobType, organization: Organization
) -> None:
    elsewhere(Organization.objects.update, name="renamed")
    heir = make_organization(name=organization.name)
    job = submit_job(kind.type_name, heir.name, {"number": 0}, on_duplicate="return")
    assert job.organization == heir


def test_a_tenants_model_may_look_at_the_row_that_it_is_made_of(
    submit: Any, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    django_way: Any = vars(Model)["from_db"]

    def from_db(cls: Any, /, db: str, field_names: Any, values: Any, **keywords: Any) -> Any:
        made.append(values[field_names.index("name")])
        return django_way.__func__(cls, db, field_names, values, **keywords)

    monkeypatch.setattr(Organization, "from_db", classmethod(from_db))
    submit()
    assert organization.name in made
