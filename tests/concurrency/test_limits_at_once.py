"""Limits of what runs, while many submit, dispatch, claim and settle at once: never one too many, and all complete."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pytest

from django_jobs import pools, submit_job
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from django_jobs.statuses import IN_FLIGHT, Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, run_crowd
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, returned
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Claimed, Ticket
from tests.support.waiting import wait_until

WORKERS: Final = 4
SUBMITTERS: Final = 2
DISPATCHERS: Final = 3
ORGANIZATIONS: Final = 2
KEYS: Final = 3
#: Tickets that a worker takes at a time, and more than it is allowed to start of some groups.
SET: Final = 6
PATIENCE: Final = 200.0
#: Seconds that a handler waits for another one to run beside it.
LONGEST_WAIT: Final = 60.0


class Place(NamedTuple):
    """What a job is counted with."""

    organization_pk: Any
    job_type: str
    key: int


class Rule(NamedTuple):
    """At most so many of each group may be in flight at once."""

    most: int
    group_of: Callable[[Place], Hashable]


TYPE: Final = Rule(3, lambda place: place.job_type)
TENANT: Final = Rule(2, lambda place: (place.job_type, place.organization_pk))
KEY: Final = Rule(1, lambda place: place)
CASES: Final[dict[str, tuple[dict[str, Any], list[Rule]]]] = {
    "type": ({"max_running": TYPE.most}, [TYPE]),
    "organization": ({"max_running_per_organization": TENANT.most}, [TENANT]),
    "key": ({"concurrency_key": "account", "max_running_per_key": KEY.most}, [KEY]),
    "all of them": (
        {
            "max_running": TYPE.most,
            "max_running_per_organization": TENANT.most,
            "concurrency_key": "account",
            "max_running_per_key": KEY.most,
        },
        [TYPE, TENANT, KEY],
    ),
}


def too_many(places: Sequence[Place], rules: Sequence[Rule]) -> list[tuple[Hashable, int]]:
    """The groups of which more are in flight than may be, and how many."""
    return [
        (group, count)
        for rule in rules
        for group, count in Counter(map(rule.group_of, places)).items()
        if count > rule.most
    ]


class Handlers:
    """What the workers' handlers know themselves: which of them run at this moment, and the most at once of a group."""

    def __init__(self, rules: Sequence[Rule], places: dict[int, Place]) -> None:
        self._rules = rules
        self._places = places
        self._lock = threading.Lock()
        self._running: dict[int, Place] = {}
        self.excesses: list[tuple[Hashable, int]] = []
        #: Set once two ran at the same time.
        self.have_met = threading.Event()

    @contextmanager
    def running(self, claimed: Sequence[Claimed]) -> Iterator[None]:
        """Count them while the block runs. Until two have met, each waits for another one."""
        with self._lock:
            self._running |= {item.pk: self._places[item.pk] for item in claimed}
            self.excesses += too_many([*self._running.values()], self._rules)
            if len(self._running) > 1:
                self.have_met.set()
        if claimed:
            self.have_met.wait(LONGEST_WAIT)
        yield
        with self._lock:
            for item in claimed:
                del self._running[item.pk]


class Work:
    """Jobs of one limited type, and of one without limits beside it, with those who do them."""

    def __init__(self, broker: CrowdedBroker, kinds: Sequence[JobType], rules: Sequence[Rule]) -> None:
        self.broker = broker
        self.kinds = kinds
        self.rules = rules
        self.organizations = [make_organization() for _ in range(ORGANIZATIONS)]
        self.each = 6 if is_small() else 18
        self.count = SUBMITTERS * self.each * len(kinds)
        self.places: dict[int, Place] = {}
        self.handlers = Handlers(rules, self.places)
        self.seen: list[tuple[Hashable, int]] = []
        self._until = time.monotonic() + PATIENCE

    def is_over(self) -> bool:
        """Whether all have completed; a test whose jobs never do fails with what is left."""
        if Job.objects.filter(status=Status.COMPLETED).count() == self.count:
            return True
        assert time.monotonic() < self._until, Counter(Job.objects.values_list("job_type", "status"))
        return False

    def submitter(self, number: int) -> Callable[[], None]:
        def run() -> None:
            for index in range(self.each):
                organization = self.organizations[(number + index) % ORGANIZATIONS]
                for kind in self.kinds:
                    self._submit(kind, organization, {"account": index % KEYS, "by": number, "index": index})

        return run

    def _submit(self, kind: JobType, organization: Organization, parameters: dict[str, Any]) -> None:
        job = submit_job(kind, organization, parameters)
        self.places[job.pk] = Place(job.organization_id, job.job_type_id, job.lane_key)

    def worker(self, name: str) -> Callable[[], None]:
        def run() -> None:
            while not self.is_over():
                verbs.dispatch()
                claimed = [*verbs.claim(self._tickets(name), name), *self._share(name)]
                limited = [item for item in claimed if self._is_limited(item.pk)]
                with self.handlers.running(limited):
                    threading.Event().wait(0.002)
                verbs.settle_all([returned(item) for item in claimed], name)

        return run

    def dispatch(self) -> None:
        """Fills freed places, as schedulers and submitters do."""
        while not self.is_over():
            verbs.dispatch()

    def watcher(self) -> None:
        """Looks at what is in flight, in one statement each time."""
        while not self.is_over():
            in_flight = Job.objects.filter(status__in=sorted(IN_FLIGHT), job_type=self.kinds[0])
            rows = in_flight.values_list("organization_id", "job_type_id", "lane_key")
            self.seen += too_many([Place(*row) for row in rows], self.rules)

    def _tickets(self, name: str) -> Sequence[Ticket]:
        with self.broker.changed:
            return self.broker.consumer(name).take_now(SET).tickets

    def _share(self, name: str) -> list[Claimed]:
        if not verbs.store().passes_waypoints:
            return []
        return verbs.take_share(pools.all_queues(), SET, name, len, lambda _: None) or []

    def _is_limited(self, pk: int) -> bool:
        """Whether a job is of the limited type; its submitter may not have been told of it yet."""
        wait_until(lambda: pk in self.places, PATIENCE, f"job {pk} to be known")
        return self.places[pk].job_type == self.kinds[0].pk


@pytest.fixture
def room(broker: CrowdedBroker) -> None:
    """Room for more tickets than any limit leaves."""
    verbs.announce_worker("a-large-worker", ALL_QUEUES, slots=100)
    verbs.forget_window()


@pytest.mark.parametrize("case", CASES)
def test_never_one_too_many_is_in_flight_and_all_complete(broker: CrowdedBroker, room: None, case: str) -> None:
    fields, rules = CASES[case]
    work = Work(broker, [make_job_type(**fields), make_job_type()], rules)
    submitters = [work.submitter(number) for number in range(SUBMITTERS)]
    workers = [work.worker(f"worker-{number}") for number in range(WORKERS)]

    run_crowd([*submitters, *workers, *[work.dispatch] * DISPATCHERS, work.watcher])

    assert (work.handlers.excesses, work.seen) == ([], [])
    assert work.handlers.have_met.is_set()
    assert set(Job.objects.values_list("status", "attempt")) == {(Status.COMPLETED, 1)}
    assert ExecutionLog.objects.filter(to_status=Status.RUNNING).count() == work.count
    assert_histories_are_chains()
