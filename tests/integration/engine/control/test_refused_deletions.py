"""Jobs that the database does not let go, since a host's rows refer to them, hold up no others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.db import IntegrityError, connection

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in
from tests.support.deletions import delete_jobs
from tests.support.factories import make_job_type, make_system_admin
from tests.support.operations import begin, dead, finish, work_off
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, OperationOrder, Performed, Pruner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

Refer = Callable[[Job], None]


def execute(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)


@pytest.fixture
def refer(transactional_db: None) -> Iterator[Refer]:
    """Writes a row of a host's table whose foreign key, as Django makes one, refers to the job."""
    deferred = "" if connection.vendor == "mysql" else "DEFERRABLE INITIALLY DEFERRED"
    key = f"FOREIGN KEY (job_id) REFERENCES {Job._meta.db_table} (id) {deferred}"
    execute(f"CREATE TABLE host_note (id integer PRIMARY KEY, job_id bigint NOT NULL, {key})")
    yield lambda job: execute("INSERT INTO host_note VALUES (%s, %s)", job.pk, job.pk)
    execute("DROP TABLE host_note")


def make_ended(count: int) -> list[Job]:
    return [job_in("Completed") for _ in range(count)]


def left() -> list[int]:
    return list(Job.objects.order_by("pk").values_list("pk", flat=True))


def test_the_others_of_its_batch_go_and_one_warning_names_it(
    refer: Refer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("django_jobs"), "propagate", True)
    jobs = make_ended(7)
    refer(jobs[2])
    pruner = Pruner(days=0)
    assert [pruner.prune(1e9) for _ in range(4)] == [6, 0, 0, 0]
    assert left() == [jobs[2].pk]
    warnings = [record.getMessage() for record in caplog.records if "event=job_not_deleted" in record.getMessage()]
    assert [text.split()[0] for text in warnings] == [f"job_id={jobs[2].name}"]


def test_it_holds_up_no_later_batch(refer: Refer, tuning: Tuning) -> None:
    tuning.set(retention_batch_jobs=2)
    jobs = make_ended(6)
    refer(jobs[0])
    refer(jobs[1])
    pruner = Pruner(days=0)
    assert pruner.prune(1e9) == 4
    assert left() == [jobs[0].pk, jobs[1].pk]


def test_it_goes_in_time_when_nothing_refers_to_it_any_more(refer: Refer, tuning: Tuning) -> None:
    tuning.set(retention_refused_seconds=0.0)
    (job,) = make_ended(1)
    refer(job)
    pruner = Pruner(days=0)
    assert pruner.prune(1e9) == 0
    execute("DELETE FROM host_note")
    assert pruner.prune(1e9) == 1


def test_deleting_it_by_hand_says_that_it_stays(refer: Refer) -> None:
    (job,) = make_ended(1)
    refer(job)
    assert delete_jobs([job.pk]) == 0
    assert left() == [job.pk]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="tells only at the commit: then the operation pauses")
def test_an_operation_that_deletes_goes_on_with_the_others(refer: Refer) -> None:
    jobs = dead(make_job_type(), 3)
    refer(jobs[0])
    operation = finish(begin(jobs[0], make_system_admin("root"), action="delete"))
    assert (operation.state, operation.changed, operation.refused) == ("done", 2, {"kept": 1})
    assert left() == [jobs[0].pk]


def test_an_operation_whose_whole_transaction_is_refused_pauses_and_holds_up_no_other(
    broker: MemoryBroker, interpose: Interpose
) -> None:
    root = make_system_admin("root")
    first, second = begin(dead(make_job_type(), 1)[0], root), begin(dead(make_job_type(), 1)[0], root)
    perform = verbs.perform_operation

    def refuse(order: OperationOrder, pks: Sequence[int]) -> Performed:
        if order.operation_id == first.pk:
            raise IntegrityError("a constraint that is checked at the commit")
        return perform(order, pks)

    interpose("perform_operation", refuse)
    assert work_off() == 1
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, first.reason, first.note, first.changed) == ("paused", "error", "IntegrityError", 0)
    assert second.changed == 1
