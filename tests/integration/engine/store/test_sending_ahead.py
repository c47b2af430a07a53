"""Many new jobs in several statements, of which the next is made and sent while the server is at work on the first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from django_jobs import submit_jobs
from django_jobs.engine.store import postgresql_core as core
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from tests.support import verbs
from tests.support.stores import store_name
from tests.support.tuning import Tuning
from tests.support.verbs import ROWS_AHEAD, NewJob, Store

ROWS = 3
#: What no database takes: less than none.
BAD: dict[str, Any] = {"retry_delay": -1}

pytestmark = pytest.mark.usefixtures("broker")
own_transactions = pytest.mark.django_db(transaction=True)
only_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="Only there statements are sent ahead.")


@pytest.fixture(autouse=True)
def few_rows(tuning: Tuning) -> None:
    """Let a statement hold a few rows."""
    tuning.set(inserted_rows=ROWS)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What tells how often statements were sent ahead."""
    begun: list[bool] = []
    pipeline = connection.connection.pipeline

    @contextlib.contextmanager
    def watch() -> Iterator[None]:
        with pipeline():
            begun.append(True)
            yield

    monkeypatch.setattr(connection.connection, "pipeline", watch)
    return begun


def make(kind: JobType, organization: Organization, count: int, bad: int | None = None) -> list[NewJob]:
    """Return new jobs that know their number; one of them may be bad."""
    common = {"job_type": kind, "organization": organization, "organization_name": "acme"}
    return [
        NewJob(job=Job(**common, timeout_seconds=1 + number, **(BAD if number == bad else {})))
        for number in range(count)
    ]


def insert(store: Store, news: list[NewJob]) -> None:
    store.in_transaction(lambda: store.insert_many(news))


def numbers() -> list[int]:
    return [seconds - 1 for seconds in Job.objects.order_by("pk").values_list("timeout_seconds", flat=True)]


@pytest.mark.parametrize(
    "count",
    [0, 1, ROWS, ROWS + 1, ROWS_AHEAD * ROWS - 1, ROWS_AHEAD * ROWS, ROWS_AHEAD * ROWS + 1, 3 * ROWS_AHEAD * ROWS],
)
def test_each_job_gets_its_own_keys_in_order(
    each_store: Store, kind: JobType, organization: Organization, count: int
) -> None:
    news = make(kind, organization, count)
    insert(each_store, news)
    assert numbers() == list(range(count))
    assert list(Job.objects.order_by("pk").values_list("pk", flat=True)) == [new.job.pk for new in news]
    logs = ExecutionLog.objects.order_by("pk").values_list("pk", "job_id")
    assert list(logs) == [(new.log_id, new.job.pk) for new in news]


@pytest.mark.parametrize("bad", [0, ROWS + 1, 3 * ROWS - 1, (ROWS_AHEAD + 1) * ROWS], ids=["1", "2", "3", "much later"])
def test_an_error_in_a_callers_transaction_reaches_the_caller_who_goes_on(
    each_store: Store, kind: JobType, organization: Organization, bad: int
) -> None:
    count = max(3 * ROWS, bad + ROWS)
    with transaction.atomic():
        insert(each_store, make(kind, organization, ROWS))
        with pytest.raises(DatabaseError) as caught:
            insert(each_store, make(kind, organization, count, bad))
        if store_name() == "postgresql":
            assert isinstance(caught.value, IntegrityError)
            assert "retry_delay" in str(caught.value)
        insert(each_store, make(kind, organization, 2 * ROWS))
    assert numbers() == [*range(ROWS), *range(2 * ROWS)]


@own_transactions
@pytest.mark.parametrize("bad", [0, ROWS + 1, 3 * ROWS - 1], ids=["1", "2", "3"])
def test_an_error_outside_of_transactions_leaves_nothing_and_the_connection_as_it_was(
    each_store: Store, kind: JobType, organization: Organization, bad: int
) -> None:
    with pytest.raises(DatabaseError):
        insert(each_store, make(kind, organization, 3 * ROWS, bad))
    assert (numbers(), ExecutionLog.objects.count()) == ([], 0)
    assert connection.get_autocommit()
    insert(each_store, make(kind, organization, 3 * ROWS))
    assert numbers() == list(range(3 * ROWS))


@contextlib.contextmanager
def at_the_fifth(statement: str) -> Iterator[None]:
    """Have the server run a statement of its language at the first job that is the fifth of its call."""
    table = Job._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE times")
        cursor.execute(
            "CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF NEW.timeout_seconds = 5 AND nextval('times') = 1 THEN {statement}; END IF; RETURN NEW; END $$"
        )
        cursor.execute(f"CREATE TRIGGER interfere BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION interfere()")
    try:
        yield
    finally:
        connection.close_if_unusable_or_obsolete()
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER interfere ON {table}; DROP FUNCTION interfere; DROP SEQUENCE times")


@only_postgresql
@own_transactions
def test_a_race_that_is_lost_in_the_midst_is_run_again(
    kind: JobType, organization: Organization, begun: list[bool]
) -> None:
    items = [{"job_type": kind, "organization": organization, "timeout": 1 + number} for number in range(3 * ROWS)]
    with at_the_fifth("RAISE SQLSTATE '40P01'"):
        submit_jobs(items)
    assert (numbers(), begun) == (list(range(3 * ROWS)), [True, True])


@only_postgresql
@own_transactions
def test_a_connection_that_is_lost_in_the_midst_leaves_nothing(
    kind: JobType, organization: Organization, begun: list[bool]
) -> None:
    items = [{"job_type": kind, "organization": organization, "timeout": 1 + number} for number in range(3 * ROWS)]
    with at_the_fifth("PERFORM pg_terminate_backend(pg_backend_pid())"), pytest.raises(OperationalError) as caught:
        submit_jobs(items)
    assert verbs.store().is_lost_connection(caught.value)
    assert (numbers(), begun) == ([], [True])


@only_postgresql
@pytest.mark.parametrize("binds_at_server", [False, True])
def test_whoever_binds_the_values(
    kind: JobType,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
    begun: list[bool],
    *,
    binds_at_server: bool,
) -> None:
    from django.db.backends.postgresql import base

    factory = base.ServerBindingCursor if binds_at_server else base.Cursor
    monkeypatch.setattr(connection.connection, "cursor_factory", factory)
    items = [{"job_type": kind, "organization": organization, "parameters": {"n": "%s"}} for _ in range(2 * ROWS)]
    jobs = submit_jobs(items)
    assert begun == [True]
    assert [job.input_parameters for job in Job.objects.filter(pk__in=[job.pk for job in jobs])] == [{"n": "%s"}] * 6


@only_postgresql
@pytest.mark.parametrize(("count", "times"), [(1, 0), (ROWS, 0), (ROWS + 1, 1), (ROWS_AHEAD * ROWS + 1, 2)])
def test_a_single_statement_is_waited_for(
    kind: JobType, organization: Organization, begun: list[bool], count: int, times: int
) -> None:
    submit_jobs([{"job_type": kind, "organization": organization}] * count)
    assert len(begun) == times


@only_postgresql
def test_who_wraps_statements_sees_each_with_its_end(
    kind: JobType, organization: Organization, begun: list[bool]
) -> None:
    ends: list[type[Exception] | None] = []

    def watch(execute: Any, sql: str, *args: Any) -> Any:
        error: type[Exception] | None = None
        try:
            return execute(sql, *args)
        except DatabaseError as caught:
            error = type(caught)
            raise
        finally:
            if f'INSERT INTO "{Job._meta.db_table}"' in sql:
                ends.append(error)

    items: list[dict[str, Any]] = [{"job_type": kind, "organization": organization}] * (2 * ROWS)
    with connection.execute_wrapper(watch):
        submit_jobs(items)
    assert (ends, begun) == ([None, None], [])


@only_postgresql
def test_an_old_libpq_sends_one_statement_after_the_other(
    kind: JobType, organization: Organization, monkeypatch: pytest.MonkeyPatch, begun: list[bool]
) -> None:
    # no public way: what libpq can do is asked once a process
    monkeypatch.setattr(core, "_libpq_has_pipelines", lambda: False)
    assert len(submit_jobs([{"job_type": kind, "organization": organization}] * (2 * ROWS))) == 2 * ROWS
    assert (numbers() != [], begun) == (True, [])
