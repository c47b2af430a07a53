"""A type's own retention days take the place of the setting, longer or shorter, and lead past no other type's jobs."""

from __future__ import annotations

import datetime as dt
import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import F

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type, make_organization
from tests.support.job_copies import copies
from tests.support.statements import before_statement, statements_of
from tests.support.ticks import WholeScheduler
from tests.support.tuning import Tuning
from tests.support.verbs import Pruner

pytestmark = pytest.mark.usefixtures("broker")

FOREVER = 1e9


@pytest.fixture
def short() -> JobType:
    return make_job_type(retention_days=7)


@pytest.fixture
def long() -> JobType:
    return make_job_type(retention_days=365)


def ended(kind: JobType, organization: Organization, days: float, status: str = "Completed") -> Job:
    job = job_in(status, job_type=kind, organization=organization)
    age(job, days)
    return job


def age(job: Job, days: float) -> None:
    moments = ("created_at", "completed_at", "canceled_at")
    Job.objects.filter(pk=job.pk).update(**{name: F(name) - dt.timedelta(days=days) for name in moments})


def left() -> set[int]:
    return set(Job.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("status", ["Completed", "Canceled", "Dead Letter"])
def test_each_type_goes_by_its_own_days(short: JobType, long: JobType, organization: Organization, status: str) -> None:
    plain = make_job_type()
    for kind, days in ((long, 366), (plain, 31), (short, 8)):
        ended(kind, organization, days, status)
    kept = [ended(kind, organization, days, status) for kind, days in ((long, 364), (plain, 29), (short, 6))]
    pruner = Pruner()
    assert pruner.prune(FOREVER) == 3
    assert pruner.is_through
    assert left() == {job.pk for job in kept}


def test_jobs_whose_type_is_gone_go_by_the_setting(short: JobType, organization: Organization) -> None:
    ended(short, organization, 31)
    kept = ended(short, organization, 29)
    JobType.objects.filter(pk=short.pk)._raw_delete("default")  # as somebody may have done past Django
    assert Pruner().prune(FOREVER) == 1
    assert left() == {kept.pk}


def test_what_has_not_ended_or_ended_late_or_is_needed_stays(short: JobType, organization: Organization) -> None:
    waiting, late = pending_job(job_type=short, organization=organization), ended(short, organization, 1)
    parent = ended(short, organization, 0)
    pending_job(job_type=short, organization=organization, depends_on=parent)
    Job.objects.update(created_at=F("created_at") - dt.timedelta(days=50))
    age(parent, 50)
    assert Pruner().prune(FOREVER) == 0
    assert {waiting.pk, late.pk, parent.pk} < left()


def test_what_stayed_goes_once_it_may(short: JobType, organization: Organization) -> None:
    late = ended(short, organization, 6)
    Job.objects.update(created_at=F("created_at") - dt.timedelta(days=50))
    pruner = Pruner()
    assert pruner.prune(FOREVER) == 0
    age(late, 2)
    assert pruner.prune(FOREVER) == 1


def test_days_that_change_count_at_once(short: JobType, organization: Organization) -> None:
    ended(short, organization, 6)
    pruner = Pruner()
    assert pruner.prune(FOREVER) == 0
    JobType.objects.update(retention_days=5)
    assert pruner.prune(FOREVER) == 1


def test_a_type_that_gives_up_its_own_days_goes_by_the_setting(long: JobType, organization: Organization) -> None:
    ended(long, organization, 100)
    pruner = Pruner()
    assert pruner.prune(FOREVER) == 0
    JobType.objects.update(retention_days=None)
    assert pruner.prune(FOREVER) == 1


def test_jobs_of_many_organizations_go_in_sets(short: JobType, organization: Organization, tuning: Tuning) -> None:
    tuning.set(retention_batch_jobs=2)
    owners = [organization, make_organization(), make_organization()]
    for owner in owners:
        for _ in range(5):
            ended(short, owner, 8)
    kept = {ended(short, owner, 1).pk for owner in owners}
    assert Pruner().prune(FOREVER) == 15
    assert left() == kept


def test_many_young_jobs_of_its_own_and_other_types_cost_no_look(
    short: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(retention_batch_jobs=10)
    other = ended(make_job_type(), organization, 20)
    ended(short, organization, 8)
    alone = statements_of(lambda: Pruner().prune(FOREVER))
    copies(other, 2_000)
    ended(short, organization, 8)
    copies(ended(short, organization, 3), 2_000)
    found: list[int] = []
    beside = statements_of(lambda: found.append(Pruner().prune(FOREVER)))
    assert (found, Job.objects.count()) == ([1], 4_002)
    assert beside <= alone


def test_jobs_from_the_future_are_passed_over(short: JobType, organization: Organization) -> None:
    future = ended(short, organization, -400)
    ended(short, organization, 8)
    assert Pruner().prune(FOREVER) == 1
    assert left() == {future.pk}


def test_the_command_goes_by_the_types_days_and_looks_behind_younger_jobs(
    short: JobType, long: JobType, organization: Organization
) -> None:
    kept = {ended(short, organization, 1).pk, ended(long, organization, 300).pk}
    ended(short, organization, 8)
    ended(make_job_type(), organization, 3)
    out = StringIO()
    call_command("jobs_prune", "--json", days=2, stdout=out)
    assert (json.loads(out.getvalue())["deleted"], left()) == (2, kept)


def test_erasing_an_organization_asks_no_type(long: JobType, organization: Organization) -> None:
    ended(long, organization, 1)
    call_command("jobs_prune", organization=organization.name, yes=True, stdout=StringIO())
    assert left() == set()


def test_a_pass_that_takes_long_goes_on_where_it_was(
    short: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(retention_batch_jobs=2)
    for _ in range(5):
        ended(short, organization, 8)
    pruner = Pruner()
    counts = [pruner.prune(0.0)]
    while not pruner.is_through:
        counts.append(pruner.prune(0.0))
    assert [count for count in counts if count] == [2, 2, 1]


def test_what_an_error_ended_is_done_by_the_next_pass(short: JobType, organization: Organization) -> None:
    ended(short, organization, 8)
    pruner = Pruner()
    with before_statement("SELECT", Job, lambda: 1 / 0, number=2), pytest.raises(ZeroDivisionError):
        pruner.prune(FOREVER)
    assert sum(pruner.prune(FOREVER) for _ in range(2)) == 1


def test_it_rests_the_less_the_further_a_type_is_behind(
    short: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(retention_batch_jobs=1)
    for _ in range(3):
        ended(short, organization, 100)
    pruner = Pruner()
    while not pruner.prune(0.0):
        pass
    assert pruner.rest() == verbs.RETENTION_LEAST_REST
    pruner.prune(FOREVER)
    assert pruner.rest() == 1.0


def test_the_scheduler_does_it(short: JobType, organization: Organization, tuning: Tuning) -> None:
    tuning.set(sweep_step_seconds=60.0)
    ended(short, organization, 8)
    assert WholeScheduler("one").tick()["prune"] == 1
