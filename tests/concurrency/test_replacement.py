"""Many replace the same waiting job at once, while others dispatch and claim: the last one's work is done."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from django_jobs import submit_job
from django_jobs.models import DuplicateKey, Job, JobType, Organization
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, run_crowd
from tests.support import verbs
from tests.support.brokers import returned, start
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Claimed, Interpose, TicketWatch

CROWD = 10
LATER = dt.timedelta(hours=1)


class Debounce:
    """Threads that replace one piece of work, and workers that would run it."""

    def __init__(self, broker: CrowdedBroker) -> None:
        self.broker = broker
        self.kind: JobType = make_job_type(deduplication_window=300)
        self.organization: Organization = make_organization()
        self.started: list[Claimed] = []
        self.pks: set[int] = set()
        self.is_over = threading.Event()
        self._left = 0
        self._lock = threading.Lock()

    def submit(self, parameters: dict[str, Any], **fields: Any) -> Job:
        job = submit_job(
            self.kind.pk, self.organization.name, parameters, unique_key="k", on_duplicate="replace", **fields
        )
        self.pks.add(job.pk)
        return job

    def replacer(self, thread: int, rounds: int, **fields: Any) -> Callable[[], None]:
        self._left += 1

        def run() -> None:
            try:
                for number in range(rounds):
                    marks = {"thread": thread, "number": number, **fields.get("marks", {})}
                    self.submit(marks, **fields.get("values", {}))
            finally:
                with self._lock:
                    self._left -= 1
                    if not self._left:
                        self.is_over.set()

        return run

    def worker(self) -> None:
        while not self.is_over.wait(0.001):
            verbs.wake()
            tickets = self.broker.take_all()
            if tickets:
                self.started += verbs.claim(tickets, f"worker-{threading.get_ident()}")


@pytest.fixture
def debounce(broker: CrowdedBroker) -> Debounce:
    return Debounce(broker)


def rounds() -> int:
    return 2 if is_small() else 10


def test_of_a_hundred_simultaneous_replacements_one_job_is_left(debounce: Debounce) -> None:
    debounce.broker.is_full = True

    run_crowd([debounce.replacer(thread, rounds()) for thread in range(CROWD)])

    job = Job.objects.get()
    assert debounce.pks == {job.pk}
    assert job.status == "Pending"
    assert job.input_parameters["number"] == rounds() - 1, "the last that a thread submits is never before its others"
    assert DuplicateKey.objects.get().job_id == job.pk
    last = debounce.submit({"thread": "last"})
    assert (last.pk, last.input_parameters) == (job.pk, {"thread": "last"})


def test_what_runs_is_what_the_row_says_and_it_runs_once(debounce: Debounce) -> None:
    members = [debounce.replacer(thread, rounds()) for thread in range(4)]

    run_crowd([*members, debounce.worker, debounce.worker])

    rows = Job.objects.in_bulk()
    assert [item.parameters for item in debounce.started] == [
        rows[item.pk].input_parameters for item in debounce.started
    ]
    assert len({item.pk for item in debounce.started}) == len(debounce.started)
    assert Job.objects.filter(status__in=["Pending", "Queued"]).count() <= 1, "each change replaces the one that waits"
    assert_histories_are_chains()


def test_no_change_is_lost_to_a_worker_that_claims_at_this_moment(broker: CrowdedBroker) -> None:
    """Each thread changes one piece of work again and again; whatever workers claim meanwhile, its last change runs."""
    kind, organization = make_job_type(deduplication_window=300), make_organization()
    ran: dict[str, list[int]] = {key: [] for key in "abcd"}
    are_over = {key: threading.Event() for key in ran}

    def changer(key: str) -> Callable[[], None]:
        def run() -> None:
            try:
                for number in range(5 * rounds()):
                    parameters = {"key": key, "number": number}
                    submit_job(kind, organization, parameters, unique_key=key, on_duplicate="replace")
            finally:
                are_over[key].set()

        return run

    def claim_all() -> None:
        verbs.wake()
        name = f"worker-{threading.get_ident()}"
        claimed = verbs.claim(broker.take_all(), name)
        for item in claimed:
            ran[item.parameters["key"]].append(item.parameters["number"])
        verbs.settle_all([returned(item) for item in claimed], name)

    def worker() -> None:
        while not all(event.is_set() for event in are_over.values()):
            claim_all()

    run_crowd([*map(changer, ran), worker, worker])
    watch = TicketWatch()  # two that take all tickets at once may lose some
    while Job.objects.filter(status__in=["Pending", "Queued"]).exists():
        watch.reissue_lost()
        claim_all()

    assert {key: max(numbers) for key, numbers in ran.items()} == dict.fromkeys(ran, 5 * rounds() - 1)
    assert_histories_are_chains()


def test_a_job_that_was_put_off_does_not_run_early(debounce: Debounce) -> None:
    later = timezone.now() + LATER
    put_off = {"values": {"run_at": later}, "marks": {"is_later": True}}
    members = [debounce.replacer(0, rounds()), *[debounce.replacer(n, rounds(), **put_off) for n in range(1, 4)]]

    run_crowd([*members, debounce.worker, debounce.worker])

    assert not [item for item in debounce.started if "is_later" in item.parameters]
    assert Job.objects.filter(status="Running").count() == len(debounce.started)
    assert not Job.objects.filter(run_at__isnull=False).exclude(status="Pending").exists()
    assert_histories_are_chains()


def test_a_replacement_that_commits_in_the_midst_of_a_pass_leaves_the_limit_of_its_key_exact(
    broker: CrowdedBroker, interpose: Interpose
) -> None:
    real = verbs.move
    if is_small():
        pytest.skip("SQLite has one writer at a time")
    kind, organization = make_job_type(concurrency_key="account", deduplication_window=300), make_organization()
    verbs.dispatch()  # for a new database's first one keeps others waiting until it commits
    broker.is_full = True
    start(submit_job(kind, organization, {"account": "full"}))
    job = submit_job(kind, organization, {"account": "free"}, unique_key="k")
    broker.is_full = False

    def replace() -> None:
        submit_job(kind, organization, {"account": "full"}, unique_key="k", on_duplicate="replace")

    def move_after_the_replacement(*args: Any, **terms: Any) -> Any:
        interpose("move", real)
        run_crowd([replace])
        return real(*args, **terms)

    interpose("move", move_after_the_replacement)

    assert verbs.dispatch() == 0

    job.refresh_from_db()
    assert (job.status, job.input_parameters) == ("Pending", {"account": "full"})
    assert broker.pushed == []
    assert_histories_are_chains()
