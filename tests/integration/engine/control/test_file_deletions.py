"""A job's files go when its row is gone, and not before: a deletion that is refused or rolled back removes none."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.storage import InMemoryStorage
from django.db import connection, transaction

from django_jobs.conf import output_storage
from django_jobs.models import FileDeletion, Job, Organization
from tests.support import verbs
from tests.support.admin import chosen, superuser, url
from tests.support.api import client_of, url_of
from tests.support.deletions import delete_jobs
from tests.support.factories import make_job_type, make_organization, make_system_admin
from tests.support.operations import begin, dead, finish
from tests.support.outputs import finished_with_file
from tests.support.ticks import WholeScheduler
from tests.support.verbs import FileSweep, Pruner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def tenant(transactional_db: None) -> Organization:
    return make_organization()


@pytest.fixture
def job(tenant: Organization) -> Job:
    return finished_with_file(tenant)


def has_file(job: Job) -> bool:
    return bool(output_storage().exists(job.output_reference))


def is_there(job: Job) -> bool:
    return Job.objects.filter(pk=job.pk).exists()


@pytest.fixture
def referred(job: Job) -> Any:
    """The job, to which a row of the host's refers by a foreign key."""
    with connection.cursor() as cursor:
        key = f"FOREIGN KEY (job_id) REFERENCES {Job._meta.db_table} (id)"
        cursor.execute(f"CREATE TABLE host_note (job_id bigint NOT NULL, {key})")
        cursor.execute("INSERT INTO host_note VALUES (%s)", [job.pk])
    yield job
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE host_note")


def by_rest(job: Job) -> None:
    client_of(make_system_admin()).delete(url_of(job))


def by_admin(job: Job) -> None:
    superuser().post(url("job", "changelist"), chosen("delete", job, confirmed="yes"), follow=True)


def by_retention(job: Job) -> None:
    Pruner(days=0).prune(1e9)
    WholeScheduler("one").tick()


DOORS = pytest.mark.parametrize("delete", [by_rest, by_admin, by_retention])


@DOORS
def test_the_files_go_with_the_job(job: Job, delete: Any) -> None:
    delete(job)
    assert (is_there(job), has_file(job), FileDeletion.objects.exists()) == (False, False, False)


@DOORS
def test_a_refused_deletion_removes_no_file(referred: Job, delete: Any) -> None:
    delete(referred)
    assert (is_there(referred), has_file(referred), FileDeletion.objects.exists()) == (True, True, False)


def test_the_files_of_what_an_operation_deletes_go(tenant: Organization) -> None:
    jobs = dead(make_job_type(), 2)
    files = [verbs.save_output(job.organization_id, job.name, "a.txt", "a") for job in jobs]
    finish(begin(jobs[0], make_system_admin("root"), action="delete"))
    FileSweep().step()
    assert [output_storage().exists(name) for name in files] == [False, False]


def test_a_deletion_that_is_rolled_back_removes_no_file(job: Job) -> None:
    with transaction.atomic():
        assert delete_jobs([job.pk]) == 1
        transaction.set_rollback(True)
    WholeScheduler("one").tick()
    assert (is_there(job), has_file(job)) == (True, True)


def test_files_of_a_process_that_died_after_the_commit_go_later(job: Job) -> None:
    verbs.delete_job_rows([job.pk])
    assert (is_there(job), has_file(job)) == (False, True)
    WholeScheduler("one").tick()
    assert (has_file(job), FileDeletion.objects.exists()) == (False, False)


class StubbornStorage(InMemoryStorage):
    """Deletes nothing while it is down."""

    down = True

    def delete(self, name: str) -> None:
        if self.down:
            raise OSError("the store is down")
        super().delete(name)


@pytest.fixture
def stubborn(settings: Any, monkeypatch: pytest.MonkeyPatch) -> type[StubbornStorage]:
    monkeypatch.setattr(StubbornStorage, "down", True)
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": f"{__name__}.StubbornStorage"}}
    return StubbornStorage


def test_what_the_storage_refuses_is_tried_again(stubborn: type[StubbornStorage], tenant: Organization) -> None:
    jobs = [finished_with_file(tenant) for _ in range(2)]
    assert client_of(make_system_admin()).delete(url_of(jobs[0])).status_code == 204
    by_retention(jobs[1])
    assert ([is_there(job) for job in jobs], [has_file(job) for job in jobs]) == ([False] * 2, [True] * 2)
    stubborn.down = False
    assert FileSweep().step() == 2
    assert ([has_file(job) for job in jobs], FileDeletion.objects.exists()) == ([False] * 2, False)
