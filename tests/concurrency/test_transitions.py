"""Sets of jobs moved by many hands: no deadlock reaches anybody, and no log row tells a wrong story."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from django_jobs import cancel_job
from django_jobs.exceptions import InvalidTransition
from django_jobs.models import Job
from django_jobs.statuses import DISPATCHABLE, RETRYABLE_BY_HAND, Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, make_queued, run_crowd
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import INCREMENT, NOW, SCHEDULER, SYSTEM, WORKER, After, Move, Moved, Store

LARGEST_SET, SMALLEST_SET = 200, 50
#: A melee in which nothing moves for so many seconds is over; how long all its moves take is the machine's to say.
STALL_SECONDS = 60
WORKERS = ("worker-a", "worker-b", "worker-c")
#: What a melee must have brought jobs to: who cancels may get no turn for long where one database has one writer.
REACHED = frozenset({Status.COMPLETED, Status.CANCELED})


class Melee:
    """Everybody who moves jobs, moving random overlapping sets of the same jobs until enough has moved."""

    def __init__(self, pks: list[int], target: int) -> None:
        self.pks = pks
        self.target = target
        self.moved = 0
        self.reached: set[str] = set()
        self._lock = threading.Lock()
        self._has_failed = False
        self._stalls_at = time.monotonic() + STALL_SECONDS

    def is_over(self) -> bool:
        has_reached = self.moved >= self.target and self.reached >= REACHED
        return has_reached or self._has_failed or time.monotonic() > self._stalls_at

    def member(self, seed: int, act: Callable[[Melee, random.Random, list[int]], list[Moved]]) -> Callable[[], None]:
        chance = random.Random(seed)

        def run() -> None:
            while not self.is_over():
                size = chance.randint(SMALLEST_SET, LARGEST_SET)
                # In random order: to lock in ascending id is the engine's part.
                try:
                    moved = act(self, chance, chance.sample(self.pks, min(size, len(self.pks))))
                except BaseException:
                    self._has_failed = True
                    raise
                with self._lock:
                    self.moved += len(moved)
                    self.reached.update(item.to_status for item in moved)
                    self._stalls_at = time.monotonic() + STALL_SECONDS if moved else self._stalls_at

        return run


def claim_some(melee: Melee, chance: random.Random, pks: list[int]) -> list[Moved]:
    """Queued → Running."""
    name = chance.choice(WORKERS)
    values = {"attempt": INCREMENT, "worker_name": name, "started_at": NOW, "lease_expires_at": After(30)}
    moves = [Move(pk=pk, to_status=Status.RUNNING, values={**values, "cancel_requested_at": None}) for pk in pks]
    return verbs.move(
        moves, verbs.Terms(sources=[Status.QUEUED], actor=WORKER, worker_name=name, skip_locked=chance.random() < 0.5)
    )


def settle_some(melee: Melee, chance: random.Random, pks: list[int]) -> list[Moved]:
    """Running → Queued, Failed or Completed, guarded by the attempt that was seen; several shapes in one set."""
    seen = Job.objects.filter(pk__in=pks, status=Status.RUNNING).values_list("pk", "attempt")
    moves = []
    for pk, attempt in seen:
        luck = chance.random()
        if luck < 0.02:
            values = {"result": {"by": attempt}, "progress": 100, "completed_at": NOW, "lease_expires_at": None}
            moves.append(Move(pk=pk, to_status=Status.COMPLETED, attempt=attempt, values=values))
        elif luck < 0.25:
            values = {"error_message": f"attempt {attempt}", "ready_at": After(60), "lease_expires_at": None}
            moves.append(Move(pk=pk, to_status=Status.FAILED, attempt=attempt, values=values, message="failed"))
        else:
            values = {"queued_at": NOW, "worker_name": "", "lease_expires_at": None}
            moves.append(Move(pk=pk, to_status=Status.QUEUED, attempt=attempt, values=values))
    chance.shuffle(moves)
    return verbs.move(moves, verbs.Terms(sources=[Status.RUNNING], actor=WORKER, worker_name="settler"))


def return_some(melee: Melee, chance: random.Random, pks: list[int]) -> list[Moved]:
    """The engine's own way back to the queue, as for a worker that died: its own transaction and SKIP LOCKED."""
    name = chance.choice(WORKERS)
    seen = Job.objects.filter(pk__in=pks, status=Status.RUNNING, worker_name=name).values_list("pk", "attempt")
    return verbs.requeue(list(seen[:SMALLEST_SET]), "requeued", name)


def requeue_some(melee: Melee, chance: random.Random, pks: list[int]) -> list[Moved]:
    """Failed → Queued and Dead Letter → Pending, as the dispatcher and people do."""
    values = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
    moves = [Move(pk=pk, to_status=Status.QUEUED, values=values) for pk in pks]
    moved = verbs.move(moves, verbs.Terms(sources=DISPATCHABLE, actor=SYSTEM, skip_locked=True))
    moves = [Move(pk=pk, to_status=Status.PENDING, values={"ready_at": NOW, "retry_count": 0}) for pk in pks]
    return moved + verbs.move(moves, verbs.Terms(sources=RETRYABLE_BY_HAND, actor=verbs.user_named("somebody")))


def bury_some(melee: Melee, chance: random.Random, pks: list[int]) -> list[Moved]:
    """Queued → Dead Letter or Pending: two shapes, two statuses in one set."""
    moves = []
    for pk in pks[:SMALLEST_SET]:
        if chance.random() < 0.5:
            moves.append(Move(pk=pk, to_status=Status.PENDING, values={"ready_at": NOW, "queued_at": None}))
        else:
            values = {"error_message": f"job {pk}", "completed_at": NOW}
            moves.append(Move(pk=pk, to_status=Status.DEAD_LETTER, message="buried", values=values))
    return verbs.move(moves, verbs.Terms(sources=[Status.QUEUED], actor=WORKER))


def cancel_some(melee: Melee, chance: random.Random, pks: list[int]) -> list[Moved]:
    """A few → Canceled: a set of waiting ones, and single ones by the verb that people use."""
    values = {"canceled_at": NOW, "ready_at": None, "next_retry_at": None}
    sources = [Status.PENDING, Status.QUEUED, Status.FAILED, Status.TIMED_OUT]
    moves = [Move(pk=pk, to_status=Status.CANCELED, values=values) for pk in pks[:2]]
    moved = verbs.move(moves, verbs.Terms(sources=sources, actor=verbs.user_named("somebody")))
    for pk in pks[2:4]:
        try:
            cancel_job(Job.objects.get(pk=pk))
        except InvalidTransition:
            continue
    return moved


def renew_some(melee: Melee, chance: random.Random, pks: list[int]) -> list[Moved]:
    held = verbs.renew_leases(chance.sample(WORKERS, 2))
    assert len({item.pk for item in held}) == len(held)
    return []


@pytest.fixture
def lost_races(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every lost race that the engine quietly repaired."""
    found: list[str] = []
    original = Store.is_lost_race

    def watch(self: Store, error: BaseException) -> bool:
        lost = original(self, error)
        if lost:
            found.append(str(error))
        return lost

    monkeypatch.setattr(Store, "is_lost_race", watch)
    return found


@pytest.mark.parametrize("seed", [1])
def test_thousands_of_moves_by_settlers_cancelers_and_renewers_leave_true_histories(
    full_broker: CrowdedBroker, seed: int, lost_races: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", logger="django_jobs")
    count, target = (300, 3_000) if is_small() else (1_000, 7_500)
    jobs = make_queued(make_job_type(), make_organization(), count)
    melee = Melee([job.pk for job in jobs], target)
    acts = [claim_some, claim_some, claim_some, settle_some, settle_some, settle_some]
    acts += [return_some, requeue_some, requeue_some, bury_some, cancel_some, renew_some]

    run_crowd([melee.member(100 * seed + index, act) for index, act in enumerate(acts)])

    assert melee.moved >= target
    assert_histories_are_chains()
    assert set(Job.objects.values_list("status", flat=True)) >= REACHED
    # Sets are locked in ascending id, so that there is nothing to repair.
    assert not [text for text in lost_races if "deadlock" in text.lower()]


def test_of_two_ends_of_one_attempt_exactly_one_is_stored(full_broker: CrowdedBroker) -> None:
    jobs = make_queued(make_job_type(), make_organization(), 100 if is_small() else 500)
    pks = [job.pk for job in jobs]
    values = {"attempt": INCREMENT, "worker_name": "worker-a", "lease_expires_at": After(-1)}
    verbs.move(
        [Move(pk=pk, to_status=Status.RUNNING, values=values) for pk in pks],
        verbs.Terms(sources=[Status.QUEUED], actor=WORKER),
    )
    won: dict[str, list[int]] = {"worker": [], "scheduler": []}

    def report() -> None:
        for start in range(0, len(pks), 20):
            values = {"result": {"done": True}, "lease_expires_at": None}
            moves = [
                Move(pk=pk, to_status=Status.COMPLETED, attempt=1, values=values) for pk in pks[start : start + 20]
            ]
            won["worker"] += [
                item.pk for item in verbs.move(moves, verbs.Terms(sources=[Status.RUNNING], actor=WORKER))
            ]

    def rescue() -> None:
        for start in reversed(range(0, len(pks), 20)):
            pairs = [(pk, 1) for pk in pks[start : start + 20]]
            moved = verbs.settle_lost(pairs, "killed", "worker-a", actor=SCHEDULER)
            won["scheduler"] += [item.pk for item in moved]

    run_crowd([report, rescue])

    assert sorted(won["worker"] + won["scheduler"]) == pks
    statuses = dict(Job.objects.values_list("pk", "status"))
    assert {statuses[pk] for pk in won["worker"]} <= {Status.COMPLETED}
    assert {statuses[pk] for pk in won["scheduler"]} <= {Status.FAILED}
    assert_histories_are_chains()
