"""MariaDB's own default, REPEATABLE READ: a transaction reads what was there when it first read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from django_jobs import submit_job, submit_jobs
from django_jobs.exceptions import DuplicateJob
from django_jobs.models import Job, JobType, Organization
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, make_pending, run_crowd
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES
from tests.support.checks import checked
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Ticket

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "mysql", reason="an isolation level of MariaDB"),
]


def variable(name: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT @@{name}")
        return cursor.fetchone()[0]


def reconnect_with(monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    """This thread, and all that begin from now on, connect with these options."""
    for name, value in options.items():
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], name, value)
    connection.close()


@pytest.fixture(autouse=True)
def repeatable_read(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    reconnect_with(monkeypatch, isolation_level="repeatable read")
    assert variable("tx_isolation") == "REPEATABLE-READ"
    yield
    connection.close()


@pytest.fixture
def snapshots(repeatable_read: None) -> None:
    """The server refuses writes to what a transaction cannot see."""
    try:
        is_on = variable("innodb_snapshot_isolation")
    except OperationalError:
        is_on = False
    if not is_on:
        pytest.skip("this server lets them pass: the level is refused")


@pytest.fixture
def kind(transactional_db: None) -> JobType:
    return make_job_type(deduplication_window=300)


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return make_organization()


def one(kind: JobType, organization: Organization) -> Job:
    return submit_job(kind, organization, {"n": 1})


def in_a_list(kind: JobType, organization: Organization) -> Job:
    (job,) = submit_jobs([{"job_type": kind, "organization": organization, "parameters": {"n": 1}}])
    return job


@pytest.mark.usefixtures("snapshots")
@pytest.mark.parametrize("submit", [one, in_a_list])
def test_a_duplicate_that_a_transaction_cannot_see_is_not_accepted(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization, submit: Callable[..., Job]
) -> None:
    def submit_blindly() -> None:
        with transaction.atomic():
            assert not Job.objects.exists()  # from here on nothing else is seen
            run_crowd([lambda: submit(kind, organization)])
            submit(kind, organization)

    with pytest.raises((DuplicateJob, OperationalError)):
        submit_blindly()
    assert Job.objects.count() == 1
    with pytest.raises(DuplicateJob):
        submit(kind, organization)


@pytest.mark.usefixtures("snapshots")
def test_of_many_equal_submissions_one_is_accepted(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    told: list[str] = []

    def submit() -> None:
        for n in range(20):
            try:
                told.append(f"{n} accepted {submit_job(kind, organization, {'n': n}).pk}")
            except DuplicateJob as error:
                told.append(f"{n} refused {error.existing.pk}")

    run_crowd([submit] * 6)
    assert Job.objects.count() == 20
    assert Counter(text.split()[1] for text in told) == {"accepted": 20, "refused": 100}
    assert len({(text.split()[0], text.split()[2]) for text in told}) == 20


@pytest.mark.usefixtures("snapshots")
def test_each_job_is_dispatched_and_claimed_once(
    broker: CrowdedBroker, organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 100_000}
    verbs.announce_worker("a-large-worker", ALL_QUEUES, slots=5_000)
    broker.is_full = True
    jobs = make_pending(make_job_type(), organization, 100)
    broker.is_full = False
    run_crowd([verbs.dispatch] * 6)
    assert Counter(broker.pushed) == {f"{job.name}-1": 1 for job in jobs}

    tickets = [Ticket(job.pk, job.created_at.year, 1, job.priority) for job in jobs]
    claimed: list[int] = []

    def work(name: str) -> Callable[[], None]:
        return lambda: claimed.extend(item.pk for item in verbs.claim(tickets, name))

    run_crowd([work(f"worker-{number}") for number in range(6)])
    assert Counter(claimed) == {job.pk: 1 for job in jobs}
    assert_histories_are_chains()


@pytest.mark.usefixtures("snapshots")
def test_the_level_is_accepted_where_the_server_refuses_stale_writes() -> None:
    assert checked("E004", "E020", "E015") == []


def test_the_level_is_refused_where_the_server_lets_stale_writes_pass(
    broker: CrowdedBroker, monkeypatch: pytest.MonkeyPatch, snapshots: None
) -> None:
    reconnect_with(monkeypatch, init_command="SET SESSION innodb_snapshot_isolation = 0")
    assert [message.id for message in checked("E004", "E020", "E015")] == ["django_jobs.E020"]
    assert any(finding.subject == "isolation level" for finding in verbs.examine())
