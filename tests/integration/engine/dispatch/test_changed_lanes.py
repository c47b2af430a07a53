"""A job that a later submission replaces while a pass is at work: the limit of its new concurrency key holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from django.db import connection

from django_jobs import get_job_history, submit_job
from django_jobs.models import Job, JobType, Organization
from django_jobs.pools import all_queues
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, WORKER, MemoryBroker, end, pending_job, reread, returned, start
from tests.support.factories import make_job_type
from tests.support.verbs import Interpose

Replace = Callable[[Job, str], Any]
ONLY_POSTGRESQL: Final = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only there a worker takes jobs without tickets"
)


@pytest.fixture(autouse=True)
def _room(broker: MemoryBroker) -> None:
    """Room for a hundred jobs."""
    verbs.announce_worker(WORKER, ALL_QUEUES, slots=100)


@pytest.fixture
def keyed() -> JobType:
    return make_job_type(concurrency_key="account", deduplication_window=300)


@pytest.fixture
def replace(keyed: JobType, organization: Organization) -> Replace:
    """Replaces a job by one of another account, as far as it waits."""

    def replace(job: Job, account: str) -> None:
        found = submit(keyed, organization, account, on_duplicate="replace")
        assert (found.pk, found.lane_key) == (job.pk, lane_of(account))

    return replace


def submit(kind: JobType, organization: Organization, account: str, **fields: Any) -> Job:
    return submit_job(kind, organization, {"account": account}, unique_key="k", **fields)


def lane_of(account: str) -> int:
    return verbs.lane_key("account", {"account": account})


def between_pick_and_move(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Have this happen once, when a pass has picked its jobs and is about to queue them."""
    real = verbs.move
    left = [happens]

    def move_later(*args: Any, **terms: Any) -> Any:
        if left:
            left.pop()()
        return real(*args, **terms)

    Interpose(monkeypatch)("move", move_later)


def steps_of(job: Job) -> list[tuple[str, str]]:
    return [(log["to_status"], log["message"]) for log in get_job_history(job)]


def test_a_job_is_not_queued_beside_a_full_key_that_it_was_not_picked_for(
    broker: MemoryBroker,
    keyed: JobType,
    organization: Organization,
    replace: Replace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = start(pending_job(keyed, organization, parameters={"account": "full"}))
    job = submit(keyed, organization, "free")
    other = pending_job(keyed, organization, parameters={"account": "third"})
    between_pick_and_move(monkeypatch, lambda: replace(job, "full"))

    assert verbs.dispatch() == 1

    assert broker.pks() == [other.pk]
    row = reread(job)
    assert (row.status, row.queued_at, row.lane_key) == ("Pending", None, lane_of("full"))
    assert row.ready_at
    assert not row.is_delayed
    assert steps_of(job)[-2:] == [("Queued", ""), ("Pending", verbs.OTHER_KEY)]
    assert verbs.dispatch() == 0
    end(returned(running))
    assert verbs.dispatch() == 1
    assert broker.pks() == [other.pk, job.pk]


def test_what_was_counted_for_its_key_of_before_is_taken_back(
    broker: MemoryBroker, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = make_job_type(concurrency_key="account", max_starts_per_key=1, max_starts_window=3600)
    job = pending_job(kind, organization, parameters={"account": "one"})
    between_pick_and_move(monkeypatch, lambda: Job.objects.filter(pk=job.pk).update(lane_key=lane_of("two")))
    assert verbs.dispatch() == 0

    later = pending_job(kind, organization, parameters={"account": "one"})

    assert verbs.dispatch() == 2
    assert set(broker.pks()) == {job.pk, later.pk}


@ONLY_POSTGRESQL
def test_a_share_leaves_a_job_whose_key_changed_where_it_waits(
    broker: MemoryBroker,
    keyed: JobType,
    organization: Organization,
    replace: Replace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = start(pending_job(keyed, organization, parameters={"account": "full"}))
    job = submit(keyed, organization, "free")
    other = pending_job(keyed, organization, parameters={"account": "third"})
    rows, asked = verbs.store().claim_rows, [job]

    def rows_late(*args: Any, **options: Any) -> Any:
        while asked:
            replace(asked.pop(), "full")
        return rows(*args, **options)

    monkeypatch.setattr(verbs.store(), "claim_rows", rows_late)

    def take() -> list[int]:
        found = verbs.take_share(all_queues(), 16, WORKER, len, lambda _: None) or []
        return [item.pk for item in found]

    assert take() == [other.pk]
    assert reread(job).status == "Pending"
    assert steps_of(job) == [("Pending", "")]
    assert broker.pks() == []
    assert take() == []
    end(returned(running))
    assert take() == [job.pk]
