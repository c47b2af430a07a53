"""Clock, statements, locks and transactions of every store."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import pending_job
from tests.support.verbs import TRANSACTION_TRIES, SharedSlots, SQLiteStore, Store

pytestmark = pytest.mark.usefixtures("broker")

MINUTE = dt.timedelta(minutes=1)


def lost_race() -> OperationalError:
    """As every database's driver may say it."""
    return OperationalError("database is locked")


def test_the_clock_is_aware_in_utc_and_goes_on_inside_a_transaction(each_store: Store) -> None:
    with transaction.atomic():
        before = each_store.now()
        time.sleep(0.02)
        after = each_store.now()
    assert before.tzinfo is after.tzinfo is dt.UTC
    assert before < after
    assert abs(after - dt.datetime.now(dt.UTC)) < MINUTE


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere the server ends a transaction that falls silent")
def test_an_open_transaction_of_the_engine_is_shown_where_it_keeps_all_others_from_writing() -> None:
    slots, store = SharedSlots.create(1), SQLiteStore(connection.alias)
    store.while_writing = slots.board.writing
    shown = [store.in_transaction(lambda: slots.board.is_writing), slots.board.is_writing]
    slots.close()
    assert shown == [True, False]


def test_a_stored_moment_has_come_in_the_statement_of_that_very_moment(each_store: Store) -> None:
    job = pending_job()
    ((now,),) = each_store.fetch(f"SELECT {each_store.sql_now()}", [])
    Job.objects.filter(pk=job.pk).update(started_at=verbs.as_moment(now))
    assert each_store.fetch(f"SELECT id FROM {Job._meta.db_table} WHERE started_at <= %s", [now]) == [(job.pk,)]


def test_a_statement_takes_parameters_by_place_and_by_name(each_store: Store) -> None:
    job = pending_job()
    table = Job._meta.db_table
    assert each_store.fetch(f"SELECT id FROM {table} WHERE id = %s", [job.pk]) == [(job.pk,)]
    named = f"SELECT id FROM {table} WHERE id = %(pk)s AND %(pk)s > 0"
    assert each_store.fetch(named, {"pk": job.pk}, rows=1_000) == [(job.pk,)]
    assert each_store.fetch(f"SELECT id FROM {table} WHERE id = %s", [0]) == []


def test_rows_are_locked_in_ascending_order_of_their_keys(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    jobs = [pending_job(kind, organization) for _ in range(3)]
    with transaction.atomic():
        for skip in (False, True):
            locked = each_store.locked(Job.objects.order_by("-pk"), skip=skip)
            assert [job.pk for job in locked] == [job.pk for job in jobs]


def test_a_transaction_takes_all_back_or_nothing(each_store: Store, kind: JobType, organization: Organization) -> None:
    def fail() -> None:
        pending_job(kind, organization)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        each_store.in_transaction(fail)
    assert not Job.objects.exists()
    assert each_store.in_transaction(lambda: pending_job(kind, organization)).pk == Job.objects.get().pk


@pytest.mark.django_db(transaction=True)
def test_a_lost_race_is_run_again_but_not_for_ever_and_not_in_a_callers_transaction(each_store: Store) -> None:
    tries: list[int] = []

    def lose_until(number: int) -> int:
        tries.append(number)
        if len(tries) < number:
            raise lost_race()
        return len(tries)

    def fail(text: str) -> int:
        assert tries, "it is tried once"
        tries.clear()
        raise OperationalError(text)

    for run in (each_store.in_transaction, each_store.retried):
        tries.clear()
        assert run(lambda: lose_until(3)) == 3
        tries.clear()
        with pytest.raises(OperationalError):
            run(lambda: lose_until(TRANSACTION_TRIES + 1))
        assert len(tries) == TRANSACTION_TRIES
        with pytest.raises(OperationalError, match="lost"):
            run(lambda: fail("lost"))
        tries.clear()
        with pytest.raises(OperationalError), transaction.atomic():
            run(lambda: lose_until(3))
        assert len(tries) == 1


def test_a_reference_to_what_is_gone_is_refused_in_the_midst_of_a_transaction(each_store: Store) -> None:
    if isinstance(each_store, SQLiteStore):
        pytest.skip("leaves it to the commit")
    job = pending_job()
    each_store.refuse_broken_references()

    def break_one() -> None:
        Job.objects.filter(pk=job.pk).update(owner_id=10**9)
        each_store.refuse_broken_references()

    with pytest.raises(IntegrityError), transaction.atomic():
        break_one()


def test_the_isolation_level_of_the_suite_hides_no_changes(each_store: Store) -> None:
    assert not each_store.hides_changes()
