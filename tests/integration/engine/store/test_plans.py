"""What the engine asks all day costs what it takes, whatever PostgreSQL believes of its tables at the moment.

Each test fills the table of jobs, has PostgreSQL count it at the worst moment, and looks at the plan of every statement
while the engine runs it: none reads the jobs or the log from one end to the other, sorts a backlog, or visits more than
it takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import pytest
from django.db import connection, transaction

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, end, pending_job, reread, returned, ticket_of
from tests.support.everyday import SET, Deed, Everyday
from tests.support.factories import make_job_type
from tests.support.many_jobs import COMPLETED, DEAD, DELAYED, JOBS, LOGS, WAITING, analyze, drain, multiply, vacuum
from tests.support.plans import Plan, explained
from tests.support.pooling import needs_a_session
from tests.support.tuning import Tuning, forget_everything
from tests.support.verbs import Pruner

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="These are PostgreSQL's plans."),
]

COUNT: Final = 10_000
#: Of one statement for a set of ten, or for a page of fifty lanes; with entries that other deeds left dead in a bitmap.
MOST_SORTED: Final = 100
MOST_VISITED: Final = 1_000
MOST_PAGES: Final = 400
HIGH: Final = {"priority": "2"}
KEPT: Final = f"SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%{verbs.STATEMENT_MARK}%'"
#: The server compares after the first five.
PLANNED_EACH_TIME: Final = f"{KEPT} AND generic_plans = 0 AND custom_plans > 5"
#: What is there when PostgreSQL counts, and what comes after that.
COUNTED: Final[dict[str, tuple[Mapping[str, str] | None, Mapping[str, str]]]] = {
    "one job, before a backlog": (None, WAITING),
    "what has ended, before a backlog": (COMPLETED, WAITING),
    "what has ended, before much of another priority": (COMPLETED, {**COMPLETED, **HIGH}),
    "a backlog, before one of another priority": (WAITING, {**WAITING, **HIGH}),
    "a backlog, before much that is delayed": (WAITING, DELAYED),
    "what has ended, before much that is delayed": (COMPLETED, DELAYED),
    "what has ended, before many deaths": (COMPLETED, DEAD),
}


@pytest.fixture(autouse=True)
def _small_sets(tuning: Tuning) -> None:
    """What may take thousands of rows by design takes fifty, so that it can be told from what takes all."""
    tuning.set(metrics_counted_jobs=50, retention_batch_jobs=50)


@pytest.fixture(autouse=True)
def _new_tables() -> None:
    """What other tests left in the tables' pages would have a say in every plan."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {JOBS}, {LOGS}, {JobType._meta.db_table} CASCADE")
    verbs.installation_id()
    verbs.store().log_horizon()  # once on a server, the newest rows of the log are searched for those of another one


@pytest.fixture
def organizations() -> list[Organization]:
    return Organization.objects.bulk_create([Organization(name=f"ORG-{number}") for number in range(50)])


@pytest.fixture
def job_types() -> list[JobType]:
    make_job_type(type_name="unique", deduplication_window=60)
    make_job_type(type_name="limited", rate_limit=5, rate_limit_window=60)
    return [make_job_type() for _ in range(5)]


def first_job(organizations: list[Organization], job_types: list[JobType]) -> Job:
    """A job of the first organization and type; nobody dispatches it."""
    verbs.use_broker(MemoryBroker(is_down=True))
    return pending_job(job_types[0], organizations[0])


def bad_plans(deeds: Mapping[str, Deed]) -> list[str]:
    """What is wrong with the statements of these deeds, of which nothing stays."""
    verbs.announce_worker(WORKER, verbs.broker_queue_names(), slots=SET)
    known: Counter[str] = Counter()
    return [f"{name}: {plan}" for name, deed in deeds.items() for plan in _plans(deed, known) if _is_bad(plan)]


def _plans(deed: Deed, known: Counter[str]) -> list[Plan]:
    forget_everything()
    verbs.use_broker(MemoryBroker())
    with transaction.atomic():
        argument = deed.prepare()
        with explained(known=known, times=1) as plans:
            deed.act(argument)
        transaction.set_rollback(True)
    return plans


def _is_bad(plan: Plan) -> bool:
    reads_all = not plan.scanned().isdisjoint({JOBS, LOGS})
    return reads_all or plan.sorted() > MOST_SORTED or plan.visited() > MOST_VISITED or plan.pages() > MOST_PAGES


@pytest.mark.parametrize("counted", COUNTED)
def test_the_engine_visits_what_it_takes(
    counted: str, organizations: list[Organization], job_types: list[JobType]
) -> None:
    before, after = COUNTED[counted]
    job = first_job(organizations, job_types)
    if before is not None:
        multiply(job, COUNT, organizations, job_types, before)
    analyze()
    multiply(job, COUNT, organizations, job_types, after)
    assert bad_plans(Everyday(job).of_the_engine()) == []


def test_whether_the_system_is_idle_is_told_by_the_index_though_much_was_in_flight_when_it_was_counted(
    organizations: list[Organization], job_types: list[JobType]
) -> None:
    job = first_job(organizations, job_types)
    multiply(job, COUNT, organizations, job_types, {**COMPLETED, "status": "'Running'"})
    analyze()
    drain()
    condition = verbs.store().is_idle(organizations[0].pk, 1, [int(job.priority)], 1)
    with explained() as plans:
        assert verbs.store().fetch(f"SELECT {condition.sql}", condition.params) == [(True,)]
    assert [plan for plan in plans if _is_bad(plan)] == []


@needs_a_session("no prepared statement lasts")
@pytest.mark.parametrize("columns", [WAITING, COMPLETED], ids=["waiting", "ended"])
def test_what_is_prepared_is_not_planned_each_time(
    columns: Mapping[str, str],
    organizations: list[Organization],
    job_types: list[JobType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL compares what a plan for these values and one for any would cost, and may never keep the latter."""
    multiply(first_job(organizations, job_types), COUNT, organizations, job_types, columns)
    analyze()
    drain()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", 5)
    connection.close()
    for _ in range(8):
        verbs.use_broker(MemoryBroker())
        job = reread(pending_job(job_types[0], organizations[0]))
        (claimed,) = verbs.claim([ticket_of(job)], WORKER)
        end(returned(claimed))
    with connection.cursor() as cursor:
        cursor.execute(PLANNED_EACH_TIME)
        assert cursor.fetchall() == []
        cursor.execute(KEPT)
        assert len(cursor.fetchall()) >= 5


@pytest.mark.parametrize("number", [1, 50])
def test_the_engine_visits_what_it_takes_when_a_backlog_that_was_counted_is_gone(
    number: int, organizations: list[Organization], job_types: list[JobType]
) -> None:
    job = first_job(organizations, job_types)
    multiply(job, COUNT, organizations[:number], job_types, WAITING)
    analyze()
    drain()
    assert bad_plans(Everyday(job).of_the_engine()) == []


@pytest.mark.parametrize("columns", [WAITING, COMPLETED], ids=["waiting", "ended"])
def test_the_engine_visits_what_it_takes_of_an_organization_that_was_not_counted(
    columns: Mapping[str, str], organizations: list[Organization], job_types: list[JobType]
) -> None:
    job = first_job(organizations, job_types)
    multiply(job, COUNT, organizations[1:], job_types[1:], COMPLETED)
    Job.objects.filter(pk=job.pk).delete()
    analyze()
    job = first_job(organizations, job_types)
    multiply(job, COUNT, organizations[:1], job_types[:1], columns)
    assert bad_plans(Everyday(job).of_the_engine()) == []


def test_retention_reads_only_what_it_looks_at_though_the_jobs_were_counted_when_most_had_been_deleted(
    organizations: list[Organization], job_types: list[JobType]
) -> None:
    """For a few jobs in many pages PostgreSQL would rather sort them than follow the index."""
    multiply(first_job(organizations, job_types), 100, organizations, job_types, WAITING)
    job = first_job(organizations, job_types)
    Job.objects.exclude(pk=job.pk).delete()
    vacuum()
    analyze()
    multiply(job, COUNT, organizations, job_types, WAITING)
    assert bad_plans({"prune": Deed(lambda _: Pruner().prune(1))}) == []


def test_a_look_costs_what_it_shows(organizations: list[Organization], job_types: list[JobType]) -> None:
    job = first_job(organizations, job_types)
    multiply(job, COUNT, organizations, job_types, COMPLETED)
    analyze()
    assert bad_plans(Everyday(job).of_readers()) == []


def test_a_claim_of_many_jobs_reads_their_organizations_alone(job_types: list[JobType]) -> None:
    many = Organization.objects.bulk_create([Organization(name=f"ORG-{number}") for number in range(1_000)])
    analyze()
    everyday = Everyday(first_job(many, job_types))
    plans = _plans(Deed(lambda tickets: verbs.claim(tickets, WORKER), lambda: everyday.tickets(60)), Counter())
    assert [str(plan) for plan in plans if Organization._meta.db_table in plan.scanned()] == []
