"""A new job of an idle system is stored as Queued, by one statement and one commit: when, and what that leaves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import pytest
from django.db import OperationalError, connection, transaction

from django_jobs import get_job_history, submit_job
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from django_jobs.statuses import Status
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, pending_job, reread
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization
from tests.support.pooling import skip_behind_pgbouncer
from tests.support.tuning import Tuning
from tests.support.verbs import Condition, Interpose, Rest

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not verbs.store().queues_new_jobs, reason="This store does not queue new jobs."),
]

#: What differs from one job to the next: keys and moments.
APART: Final = {"id", "job_id", "created_at", "queued_at", "timestamp", "transaction_id", "oldest_open_id"}


@pytest.fixture(autouse=True)
def _known_targets(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    """Let the process remember the type and the organization, as after their first job."""
    submit_job(kind, organization)
    Job.objects.all().delete()
    broker.take_all()


def went_at_once(job: Job) -> bool:
    """Whether the statement that stored the job queued it: only then both log rows are of one transaction."""
    logs = ExecutionLog.objects.filter(job=job).order_by("pk")
    transactions = dict(logs.values_list("to_status", "transaction_id"))
    return transactions.get(Status.QUEUED) == transactions[Status.PENDING]


def rows_of(job: Job) -> list[dict[str, Any]]:
    """What is stored of a job."""
    rows = [*Job.objects.filter(pk=job.pk).values(), *ExecutionLog.objects.filter(job=job).order_by("pk").values()]
    return [{name: value for name, value in row.items() if name not in APART} for row in rows]


def make_failing_function() -> None:
    """A function that fails as the server does, with the given code."""
    skip_behind_pgbouncer("a function of the session does not last")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.fail(code text) RETURNS boolean LANGUAGE plpgsql "
            "AS 'BEGIN RAISE EXCEPTION USING ERRCODE = code; END'"
        )


def make_waiting(broker: MemoryBroker, *args: Any, **fields: Any) -> Job:
    """A job that was submitted while the broker was away."""
    broker.is_down = True
    job = pending_job(*args, **fields)
    broker.is_down = False
    verbs.forget_window()
    return job


def test_one_statement_stores_and_queues_it(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    job = submit_job(kind, organization, {"number": 1})
    assert went_at_once(job)
    assert (job.status, reread(job).status, broker.pks()) == ("Pending", "Queued", [job.pk])
    history = [(row["from_status"], row["to_status"], row["actor"]) for row in get_job_history(job)]
    assert history == [("", "Pending", "system"), ("Pending", "Queued", "system")]


@pytest.mark.parametrize("fields", [{}, {"priority": "Critical"}, {"deduplication_window": 60, "max_retries": 1}])
def test_it_leaves_what_two_statements_leave(
    kind: JobType, organization: Organization, interpose: Interpose, fields: dict[str, Any]
) -> None:
    fast = submit_job(kind, organization, {"number": 1}, **fields)
    stored = rows_of(fast)
    assert went_at_once(fast)
    Job.objects.all().delete()
    interpose("condition_at_insert", lambda _: None)
    slow = submit_job(kind, organization, {"number": 1}, **fields)
    assert not went_at_once(slow)
    assert stored == rows_of(slow)


def test_it_is_announced_as_submitted_and_then_as_queued(
    kind: JobType, organization: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", "django_jobs"):
        job = submit_job(kind, organization)
    events = [getattr(record, "event", "") for record in caplog.records if job.name in record.getMessage()]
    assert events == ["submitted", "queued"]


def test_its_row_says_when_it_was_queued(kind: JobType, organization: Organization) -> None:
    row = reread(submit_job(kind, organization))
    assert (row.queued_at, row.ready_at, row.is_delayed) == (row.created_at, None, False)


@pytest.mark.parametrize("priority", ["Normal", "High"])
def test_it_overtakes_none_that_waits_with_its_priority_or_a_higher_one(
    broker: MemoryBroker, kind: JobType, organization: Organization, priority: str
) -> None:
    earlier = make_waiting(broker, kind, organization, priority=priority)
    job = submit_job(kind, organization)
    assert not went_at_once(job)
    assert broker.pks() == [earlier.pk, job.pk]


def test_it_overtakes_those_of_others_that_wait_with_a_lower_priority(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    earlier = make_waiting(broker, kind, priority="Low")
    assert went_at_once(submit_job(kind, organization))
    assert reread(earlier).status == "Pending"


def test_where_its_organization_has_less_urgent_jobs_waiting_it_takes_a_turn(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    make_waiting(broker, kind, organization, priority="Low")
    job = submit_job(kind, organization)
    assert not went_at_once(job)
    assert broker.pks()[0] == job.pk


@pytest.mark.parametrize(("limit", "expected"), [(1, False), (3, False), (4, True)])
def test_it_leaves_half_of_the_limit_to_others(
    kind: JobType, organization: Organization, settings: Any, limit: int, expected: bool
) -> None:
    job_in("Queued", job_type=kind, organization=organization)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": limit}
    assert went_at_once(submit_job(kind, organization, {"number": 1})) is expected


def test_others_jobs_in_flight_do_not_count(kind: JobType, organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 2}
    job_in("Queued", job_type=kind)
    assert went_at_once(submit_job(kind, organization))


@pytest.mark.parametrize("values", [{"is_paused": True}, {"pool": "gpu"}], ids=["paused", "of no known pool"])
def test_a_job_of_a_type_that_may_not_go_waits(
    kind: JobType, organization: Organization, broker: MemoryBroker, values: dict[str, Any]
) -> None:
    JobType.objects.filter(pk=kind.pk).update(**values)
    assert reread(submit_job(kind, organization)).status == "Pending"
    assert broker.pks() == []


def test_what_waits_for_a_moment_or_a_parent_is_not_queued(
    kind: JobType, organization: Organization, broker: MemoryBroker
) -> None:
    parent = submit_job(kind, organization, {"number": 1})
    child = submit_job(kind, organization, {"number": 2}, depends_on=parent)
    later = submit_job(kind, organization, {"number": 3}, run_at=verbs.now() + dt.timedelta(hours=1))
    assert [reread(job).status for job in (parent, child, later)] == ["Queued", "Pending", "Pending"]
    assert broker.pks() == [parent.pk]


def test_in_a_transaction_it_waits_for_the_commit(
    kind: JobType, organization: Organization, broker: MemoryBroker
) -> None:
    with transaction.atomic():
        job = submit_job(kind, organization)
        assert (reread(job).status, broker.pks()) == ("Pending", [])
    assert (reread(job).status, broker.pks()) == ("Queued", [job.pk])


def test_what_the_broker_has_no_room_for_waits(kind: JobType, organization: Organization, broker: MemoryBroker) -> None:
    jobs = [submit_job(kind, organization, {"number": number}) for number in range(verbs.MIN_WINDOW + 2)]
    statuses = [reread(job).status for job in jobs]
    assert statuses == ["Queued"] * verbs.MIN_WINDOW + ["Pending"] * 2


def test_without_a_broker_it_is_as_it_ever_was(kind: JobType, organization: Organization, broker: MemoryBroker) -> None:
    broker.is_down = True
    job = submit_job(kind, organization)
    assert (reread(job).status, len(get_job_history(job))) == ("Pending", 1)


def test_what_the_broker_does_not_take_waits_again(
    kind: JobType,
    organization: Organization,
    broker: MemoryBroker,
    monkeypatch: pytest.MonkeyPatch,
    reasons: Reasons,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BrokerUnavailable("the test says so")

    monkeypatch.setattr(broker, "push", fail)
    job = submit_job(kind, organization)
    row = reread(job)
    assert (row.status, row.queued_at, row.ready_at is None) == ("Pending", None, False)
    last = get_job_history(job)[-1]
    assert (last["from_status"], last["to_status"], reasons(job)) == ("Queued", "Pending", ["not_taken"])
    assert "the test says so" in last["message"]


def test_what_the_broker_does_not_take_is_announced_in_the_order_of_its_changes(
    kind: JobType,
    organization: Organization,
    broker: MemoryBroker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BrokerUnavailable("the test says so")

    monkeypatch.setattr(broker, "push", fail)
    with caplog.at_level("DEBUG", "django_jobs"):
        job = submit_job(kind, organization)
    events = [vars(record)["event"] for record in caplog.records if job.name in record.getMessage()]
    assert events == ["submitted", "queued", "pending"]


def test_no_error_of_a_broker_reaches_who_submitted(
    kind: JobType, organization: Organization, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is stored. Without a ticket it is found by the scheduler."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("not one that a broker should raise")

    monkeypatch.setattr(broker, "push", fail)
    assert reread(submit_job(kind, organization)).status == "Queued"


def test_the_same_work_is_refused_before_it_is_queued(
    kind: JobType, organization: Organization, broker: MemoryBroker
) -> None:
    first, second = [
        submit_job(kind, organization, {"number": 1}, deduplication_window=60, on_duplicate="return") for _ in range(2)
    ]
    assert (second.pk, broker.pks()) == (first.pk, [first.pk])
    assert ExecutionLog.objects.count() == 2
    assert went_at_once(submit_job(kind, organization, {"number": 2}))


def test_while_that_is_slow_it_is_left_out(
    kind: JobType, organization: Organization, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    clock = Clock()
    tuning.set(slow_ways_clock=clock, short_way_slow_seconds=0.5)
    insert: Callable[[Any], bool] = verbs.store().insert

    def slowly(new: Any) -> bool:
        clock.now += 1.0
        return insert(new)

    monkeypatch.setattr(verbs.store(), "insert", slowly)
    jobs = [submit_job(kind, organization, {"number": number}) for number in range(2)]
    assert [went_at_once(job) for job in jobs] == [True, False]


@pytest.mark.parametrize("code", ["57014", "55P03", "40001"], ids=["too slow", "locked", "not serializable"])
def test_what_cannot_be_queued_in_time_is_stored_nevertheless(
    broker: MemoryBroker, kind: JobType, organization: Organization, interpose: Interpose, code: str
) -> None:
    goes_at_once = verbs.condition_at_insert

    def fails(*args: Any) -> Condition:
        """The error of the server, which the statement gets in its midst."""
        found = goes_at_once(*args)
        assert found is not None
        return verbs.all_of(Condition(f"pg_temp.fail('{code}')"), found)

    interpose("condition_at_insert", fails)
    make_failing_function()
    job = submit_job(kind, organization)
    assert not went_at_once(job)
    assert (reread(job).status, broker.pks()) == ("Queued", [job.pk])


def test_a_job_is_stored_though_the_workers_could_not_be_read_in_time(
    kind: JobType, organization: Organization, interpose: Interpose
) -> None:
    make_failing_function()
    interpose("live_workers", lambda: verbs.store().fetch("SELECT pg_temp.fail('55P03')", []))
    verbs.forget_window()
    job = submit_job(kind, organization)
    assert reread(job).status == "Pending"


def test_what_was_slow_and_failed_is_left_out_for_a_while_and_not_for_long(tuning: Tuning) -> None:
    clock, rest = Clock(), Rest(0.05)
    tuning.set(slow_ways_clock=clock)

    def fail() -> None:
        clock.now += 100
        raise OperationalError("the test says so")

    with pytest.raises(OperationalError):
        rest.after(fail)
    assert rest.lasts()
    clock.now += verbs.MAX_REST_SECONDS
    assert not rest.lasts()


def test_a_type_or_organization_that_changes_at_this_moment_is_seen(
    kind: JobType, organization: Organization, broker: MemoryBroker
) -> None:
    Organization.objects.filter(pk=organization.pk).update(name="NEW-NAME")
    job = submit_job(kind, organization)
    assert (job.organization_name, reread(job).status, broker.pks()) == ("NEW-NAME", "Queued", [job.pk])


def test_another_type_and_organization_go_at_once_as_well(kind: JobType) -> None:
    assert went_at_once(submit_job(make_job_type(), make_organization()))
