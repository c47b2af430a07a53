"""What ended long ago goes, with all that belongs to it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from django_jobs import get_job_history, retry_job
from django_jobs.conf import output_storage
from django_jobs.models import DuplicateKey, ExecutionLog, Job, JobDependency, Organization
from tests.support import verbs
from tests.support.brokers import job_in, pending_job
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization
from tests.support.ticks import WholeScheduler
from tests.support.tuning import Tuning
from tests.support.verbs import FileSweep, Interpose, Pruner

pytestmark = pytest.mark.usefixtures("broker")


def aged(job: Job, days: float) -> Job:
    """The job with all its moments moved into the past."""
    moments = ["created_at", "started_at", "completed_at", "canceled_at"]
    values = {name: getattr(job, name) - dt.timedelta(days=days) for name in moments if getattr(job, name)}
    Job.objects.filter(pk=job.pk).update(**values)
    return Job.objects.get(pk=job.pk)


@pytest.fixture
def _files_in_memory(settings: Any) -> None:
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}


@pytest.mark.parametrize("status", ["Completed", "Canceled", "Dead Letter"])
def test_a_job_that_ended_long_ago_goes_with_all_that_is_its_own(status: str) -> None:
    parent, kind = job_in("Completed"), make_job_type(deduplication_window=600)
    job = aged(job_in(status, job_type=kind), 31)
    JobDependency.objects.create(parent=parent, child=job)
    assert DuplicateKey.objects.filter(job_id=job.pk).exists()
    assert Pruner().prune(1e9) == 1
    assert Job.objects.get() == parent
    for model in (ExecutionLog, DuplicateKey):
        assert not model.objects.filter(job_id=job.pk).exists()
    assert not JobDependency.objects.exists()


@pytest.fixture
def before_the_lock(interpose: Interpose) -> Callable[[Callable[[], object]], None]:
    """Let something happen between the look at the jobs that may go and the lock on their rows."""
    delete_rows = verbs.delete_job_rows

    def happen(change: Callable[[], object]) -> None:
        def changed(*args: Any, **kwargs: Any) -> Any:
            change()
            return delete_rows(*args, **kwargs)

        interpose("delete_job_rows", changed)

    return happen


def test_a_job_that_is_retried_before_its_row_is_locked_stays(before_the_lock: Any) -> None:
    kind = make_job_type()
    revived, dead = (aged(job_in("Dead Letter", job_type=kind), 31) for _ in range(2))
    before_the_lock(lambda: retry_job(revived))
    assert Pruner().prune(1e9) == 1
    assert [job.pk for job in Job.objects.all()] == [revived.pk] != [dead.pk]
    assert get_job_history(revived)[-1]["to_status"] == "Pending"


def test_a_job_that_ran_again_and_ended_before_its_row_is_locked_stays(before_the_lock: Any) -> None:
    kind = make_job_type()
    revived, dead = (aged(job_in("Dead Letter", job_type=kind), 31) for _ in range(2))
    ended_now = {"status": "Completed", "completed_at": verbs.now()}
    before_the_lock(lambda: Job.objects.filter(pk=revived.pk).update(**ended_now))
    assert Pruner().prune(1e9) == 1
    assert [job.pk for job in Job.objects.all()] == [revived.pk] != [dead.pk]


def test_a_parent_that_gets_a_child_before_its_row_is_locked_stays(
    organization: Organization, before_the_lock: Any
) -> None:
    parent = aged(job_in("Completed", organization=organization), 31)
    before_the_lock(lambda: pending_job(organization=organization, depends_on=parent))
    assert Pruner().prune(1e9) == 0
    assert Job.objects.filter(pk=parent.pk).exists()


@pytest.mark.usefixtures("_files_in_memory")
def test_its_files_go_and_those_of_others_stay() -> None:
    old, young = aged(job_in("Completed"), 31), job_in("Completed")
    gone, kept = (verbs.save_output(job.organization_id, job.name, "a.txt", "a") for job in (old, young))
    Pruner().prune(1e9)
    assert FileSweep().step() == 1
    assert (output_storage().exists(gone), output_storage().exists(kept)) == (False, True)


def test_a_job_that_ended_lately_stays() -> None:
    job = aged(job_in("Completed"), 29)
    assert Pruner().prune(1e9) == 0
    assert Job.objects.get() == job


def test_an_old_job_that_ended_lately_stays() -> None:
    job = job_in("Completed")
    Job.objects.update(created_at=verbs.now() - dt.timedelta(days=90))
    assert Pruner().prune(1e9) == 0
    assert Job.objects.get() == job


def test_an_unfinished_job_stays_however_old(subtests: pytest.Subtests) -> None:
    for status in ("Pending", "Queued", "Running", "Failed", "Timed Out"):
        with rolled_back(subtests, status=status):
            aged(job_in(status), 1000)
            assert Pruner().prune(1e9) == 0
            assert Job.objects.count() == 1


def test_a_parent_stays_while_a_child_is_unfinished() -> None:
    parent, child = aged(job_in("Completed"), 31), job_in("Pending")
    JobDependency.objects.create(parent=parent, child=child)
    assert Pruner().prune(1e9) == 0
    assert Job.objects.count() == 2


def test_a_parent_goes_when_its_children_have_ended() -> None:
    parent, child = aged(job_in("Completed"), 31), job_in("Completed")
    JobDependency.objects.create(parent=parent, child=child)
    assert Pruner().prune(1e9) == 1
    assert list(Job.objects.all()) == [child]
    assert not JobDependency.objects.exists()


def test_the_age_is_the_hosts_choice(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "RETENTION_DAYS": 7}
    aged(job_in("Completed"), 8)
    assert Pruner().prune(1e9) == 1


def test_an_age_may_be_given() -> None:
    aged(job_in("Completed"), 2)
    assert Pruner(days=1).prune(1e9) == 1


def test_a_tenant_is_erased_whatever_the_age_of_its_jobs_and_others_stay() -> None:
    tenant = make_organization()
    job_in("Completed", organization=tenant)
    unfinished, other = job_in("Pending", organization=tenant), job_in("Completed")
    assert verbs.erase_jobs(tenant.pk) == 1
    assert set(Job.objects.all()) == {unfinished, other}


def test_the_walk_comes_to_its_end_in_batches(tuning: Tuning) -> None:
    tuning.set(retention_batch_jobs=2)
    kind = make_job_type()
    for _ in range(5):
        aged(job_in("Completed", job_type=kind), 31)
    pruner = Pruner()
    counts = [pruner.prune(0.0)]
    while not pruner.is_through:
        counts.append(pruner.prune(0.0))
    assert [count for count in counts if count] == [2, 2, 1]


def test_what_must_stay_holds_up_nobody_though_all_ended_at_one_moment(tuning: Tuning) -> None:
    tuning.set(retention_batch_jobs=2)
    kind = make_job_type()
    jobs = [aged(job_in("Completed", job_type=kind), 31) for _ in range(7)]
    Job.objects.update(completed_at=jobs[0].completed_at)
    for parent in jobs[:3]:
        JobDependency.objects.create(parent=parent, child=job_in("Pending"))
    assert Pruner().prune(1e9) == 4
    assert {job.pk for job in jobs[:3]} <= set(Job.objects.values_list("pk", flat=True))


@pytest.mark.parametrize(("days", "rest"), [(30 + 50 / 86400, 1.0), (30 + 300 / 86400, 0.2), (90, 0.1)])
def test_it_rests_the_less_the_further_it_is_behind(days: float, rest: float, tuning: Tuning) -> None:
    tuning.set(retention_batch_jobs=1)
    kind = make_job_type()
    for _ in range(2):
        aged(job_in("Completed", job_type=kind), days)
    pruner = Pruner()
    while not pruner.prune(0.0):
        pass
    assert pruner.rest() == pytest.approx(rest, abs=0.05)
    pruner.prune(1e9)
    assert pruner.rest() == 1.0


def test_a_tick_goes_on_while_there_is_work_and_time(tuning: Tuning) -> None:
    tuning.set(sweep_step_seconds=60.0, retention_batch_jobs=2)
    for _ in range(5):
        aged(job_in("Completed"), 31)
    assert WholeScheduler("one").tick()["prune"] == 5


def test_the_files_of_a_parent_that_is_still_needed_stay() -> None:
    parent, child = aged(job_in("Completed"), 31), job_in("Pending")
    JobDependency.objects.create(parent=parent, child=child)
    reference = verbs.save_output(parent.organization_id, parent.name, "a.txt", "a")
    Pruner().prune(1e9)
    FileSweep().step()
    assert output_storage().exists(reference)


def test_erasing_a_tenant_means_also_those_of_that_id_that_are_gone() -> None:
    gone = make_organization(name="ORG-X")
    job_in("Completed", organization=gone)
    gone_pk = gone.pk
    gone.delete()
    heir = make_organization(name="ORG-X")
    assert verbs.organization_pks("ORG-X") == [heir.pk, gone_pk]


def test_erasing_a_tenant_spares_one_that_had_its_id_once() -> None:
    renamed = make_organization(name="ORG-X")
    job_in("Completed", organization=renamed)
    Organization.objects.update(name="ORG-Y")
    heir = make_organization(name="ORG-X")
    assert verbs.organization_pks("ORG-X") == [heir.pk]
    assert verbs.organization_pks("ORG-Y") == [renamed.pk]


def test_nobody_is_meant_by_an_id_that_nothing_remembers() -> None:
    assert verbs.organization_pks("ORG-X") == []
