"""The engine's own statements: the same rows whether the server prepared them or not, and nobody is passed by."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from django_jobs import submit_job, submit_jobs
from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import end, pending_job, reread, returned, start
from tests.support.factories import make_job_type, make_organization
from tests.support.pooling import skip_behind_pgbouncer
from tests.support.stores import store_name
from tests.support.verbs import INCREMENT, NOW, After, Move

pytestmark = pytest.mark.usefixtures("broker")

NOON = dt.datetime(2100, 5, 4, 12, 0, 0, 123456, tzinfo=dt.UTC)
TEXT = "ünïcödé 🙂 \\u0000 %s {} ' \" \\ \n"


@pytest.fixture(params=[5, None], ids=["prepared", "unprepared"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", request.param)


@pytest.fixture
def _may_prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_behind_pgbouncer("no prepared statement lasts")
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", 5)


@pytest.fixture
def _may_not_prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", None)


def prepared_by_the_server(mark: str) -> int:
    """How many prepared statements of this connection hold the text; only PostgreSQL has any."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", [f"%{mark}%"])
        return int(cursor.fetchone()[0])


@pytest.mark.usefixtures("_both_ways")
def test_values_come_back_as_they_went_in() -> None:
    kind, organization = make_job_type(), make_organization()
    values = {"text": TEXT, "none": None, "big": 2**53, "fraction": 0.1, "nested": [{"a": [None, True]}]}
    job = submit_job(kind, organization, values, run_at=NOON, metadata={"text": TEXT})
    stored = reread(job)
    assert (stored.input_parameters, stored.metadata) == (values, {"text": TEXT})
    assert stored.run_at == stored.ready_at == job.ready_at == NOON
    assert (job.created_at, job.created_at.tzinfo) == (stored.created_at, dt.UTC)


@pytest.mark.usefixtures("_both_ways")
def test_a_job_goes_its_whole_way() -> None:
    claimed = start(pending_job(parameters={"text": TEXT}))
    assert claimed.parameters == {"text": TEXT}
    job = end(returned(claimed, {"text": TEXT, "none": None}))
    assert (job.status, job.result, job.attempt) == ("Completed", {"text": TEXT, "none": None}, 1)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("copies", [1, 2], ids=["a few", "many"])
def test_lists_that_mix_values_and_nothing_travel_row_by_row(copies: int) -> None:
    kind, organization = make_job_type(), make_organization()
    jobs = [submit_job(kind, organization) for _ in range(3 * copies)]
    values: list[dict[str, Any]] = [
        {"result": None, "next_retry_at": None, "retry_count": 7, "error_message": ""},
        {"result": {"text": TEXT}, "next_retry_at": NOW, "retry_count": 0, "error_message": TEXT},
        {"result": [1, None], "next_retry_at": After(3600), "retry_count": 30_000, "error_message": "x"},
    ] * copies
    attempts = [None, 0, 0] * copies
    moves = [
        Move(pk=job.pk, to_status="Queued", attempt=attempt, values=item, message=item["error_message"])
        for job, attempt, item in zip(jobs, attempts, values, strict=True)
    ]
    moved = verbs.move(moves, verbs.Terms(sources=["Pending"], actor=verbs.user_named("test")))
    assert sorted(item.pk for item in moved) == [job.pk for job in jobs]
    stored = [reread(job) for job in jobs]
    assert [[job.result, job.retry_count, job.error_message] for job in stored] == [
        [item["result"], item["retry_count"], item["error_message"]] for item in values
    ]
    assert [job.next_retry_at is None for job in stored] == [True, False, False] * copies
    assert stored[2].next_retry_at is not None
    assert stored[2].next_retry_at - verbs.now() > dt.timedelta(seconds=3500)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("attempts", [[None, None], [0, 5], [5, None]], ids=str)
def test_attempts_guard_each_row_by_itself(attempts: list[int | None]) -> None:
    kind, organization = make_job_type(), make_organization()
    jobs = [submit_job(kind, organization) for _ in attempts]
    moves = [
        Move(pk=job.pk, to_status="Queued", attempt=attempt, values={"attempt": INCREMENT, "ready_at": None})
        for job, attempt in zip(jobs, attempts, strict=True)
    ]
    moved = verbs.move(moves, verbs.Terms(sources=["Pending"], actor=verbs.user_named("test")))
    expected = [job.pk for job, attempt in zip(jobs, attempts, strict=True) if attempt in {None, 0}]
    assert sorted(item.pk for item in moved) == expected


@pytest.mark.usefixtures("_both_ways")
def test_whole_numbers_of_every_width_find_their_rows() -> None:
    job = pending_job()
    table = Job._meta.db_table
    for number in (1, 2**15, 2**31, 2**62):
        assert verbs.store().fetch(f"SELECT id FROM {table} WHERE id < %s AND id = %s", [number, 2**40]) == []
    assert verbs.store().fetch(f"SELECT id FROM {table} WHERE id = %s", [job.pk]) == [(job.pk,)]


@pytest.mark.usefixtures("_both_ways")
def test_a_statement_that_fails_raises_djangos_exception_and_a_savepoint_mends_it() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        verbs.store().fetch("SELECT there_is_no_such_column", [])
    assert verbs.store().fetch("SELECT 1", []) == [(1,)]


@pytest.mark.usefixtures("_both_ways")
def test_a_broken_transaction_runs_no_statement() -> None:
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            verbs.store().fetch("SELECT 1", [])


@pytest.mark.usefixtures("_may_prepare")
def test_execute_wrappers_see_every_statement() -> None:
    kind, organization = make_job_type(), make_organization()
    seen: list[str] = []

    def watch(execute: Any, sql: str, *args: Any) -> Any:
        seen.append(sql)
        return execute(sql, *args)

    with connection.execute_wrapper(watch):
        submit_job(kind, organization)
    assert [sql for sql in seen if "INSERT INTO" in sql and Job._meta.db_table in sql]


@pytest.mark.usefixtures("_may_prepare")
def test_logged_queries_hold_every_statement() -> None:
    kind, organization = make_job_type(), make_organization()
    with CaptureQueriesContext(connection) as captured:
        submit_job(kind, organization)
    assert [query for query in captured if "INSERT INTO" in query["sql"] and Job._meta.db_table in query["sql"]]


@pytest.mark.usefixtures("_may_not_prepare")
def test_nothing_is_prepared_where_the_host_does_not_allow_it() -> None:
    verbs.store().fetch("SELECT 1 -- not allowed", [])
    assert prepared_by_the_server("not allowed") == 0


@pytest.mark.usefixtures("_may_prepare")
def test_a_frequent_statement_is_prepared_once() -> None:
    for number in (1, 2**40):
        verbs.store().fetch(f"SELECT id FROM {Job._meta.db_table} WHERE id = %s -- allowed", [number])
    assert prepared_by_the_server("= $1 -- allowed") == {"postgresql": 1}.get(connection.vendor, 0)


@pytest.mark.usefixtures("_may_prepare")
def test_the_statement_of_a_few_jobs_in_one_call_is_prepared() -> None:
    submit_jobs([{"job_type": make_job_type(), "organization": make_organization()}] * verbs.FEW_ROWS)
    expected = {"postgresql": 1}.get(store_name(), 0)
    assert prepared_by_the_server(f'INSERT INTO "{Job._meta.db_table}"') == expected


@pytest.mark.usefixtures("_may_prepare")
def test_a_large_set_is_planned_for_its_size() -> None:
    verbs.store().fetch("SELECT 1 -- large set", [], rows=verbs.FEW_ROWS + 1)
    assert prepared_by_the_server("large set") == 0


@pytest.mark.usefixtures("_may_prepare")
def test_a_statement_is_planned_anew_for_a_table_twice_as_large() -> None:
    for size in range(100):
        verbs.store().fetch("SELECT %s -- of a table", [size], newest=2 ** (size % 3))
    assert prepared_by_the_server("-- of a table") == {"postgresql": 3}.get(connection.vendor, 0)
