"""Families whose members end, are born, canceled and retried at the same moment: nobody is forgotten or wronged."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_jobs import cancel_job, retry_job, submit_job, submit_jobs
from django_jobs.engine import announcements, dispatch
from django_jobs.engine.claim import Claimed
from django_jobs.engine.dependencies import follow_up
from django_jobs.engine.settle import settle
from django_jobs.exceptions import InvalidSubmission, InvalidTransition
from django_jobs.models import DependencyTask, ExecutionLog, Job, JobDependency, JobType, Organization
from django_jobs.statuses import TERMINAL, Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, run_crowd
from tests.support.brokers import WORKER, raised, reread, returned
from tests.support.factories import make_job_type, make_organization
from tests.support.families import claim_all

DEAD = {Status.CANCELED, Status.DEAD_LETTER}


@pytest.fixture
def kind(transactional_db: None) -> JobType:
    return make_job_type()


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return make_organization()


def submit_many(kind: JobType, organization: Organization, families: list[list[Job]]) -> list[Job]:
    return submit_jobs([{"job_type": kind, "organization": organization, "depends_on": item} for item in families])


def settler(claimed: list[Claimed], size: int, outcome: Callable[[Claimed], Any] = returned) -> Callable[[], None]:
    def run() -> None:
        for start in range(0, len(claimed), size):
            settle([outcome(item) for item in claimed[start : start + size]], WORKER)

    return run


def follow_up_all() -> None:
    """As the schedulers do, until nothing is left."""
    while follow_up():
        pass
    assert not DependencyTask.objects.exists()


def assert_families_are_consistent() -> None:
    """Every job stands as the statuses of its parents ask; nobody waits for what will not come."""
    status = dict(Job.objects.values_list("pk", "status"))
    parents: dict[int, set[str]] = {pk: set() for pk in status}
    for child, parent in JobDependency.objects.values_list("child_id", "parent_id"):
        parents[child].add(status[parent])
    for job in Job.objects.all():
        around = parents[job.pk]
        waits = job.status == Status.PENDING and job.ready_at is None
        if waits:
            assert around - {Status.COMPLETED}, f"{job} waits though all its parents have completed"
            assert not around & DEAD, f"{job} waits though a parent ended as {around & DEAD}"
        elif job.is_orphaned:
            assert job.status == Status.DEAD_LETTER
            assert around & DEAD, f"{job} stays dead though all its parents may complete"
        elif job.status not in DEAD:
            assert around <= {Status.COMPLETED}, f"{job} is {job.status} though its parents are {around}"
    assert_histories_are_chains()


def test_parents_that_complete_in_sets_of_many_workers_release_each_child_once(
    broker: CrowdedBroker, kind: JobType, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.is_down = True
    chance = random.Random(1)
    size = 24 if is_small() else 240
    parents = submit_many(kind, organization, [[]] * size)
    claimed = claim_all(parents)
    children = submit_many(kind, organization, [chance.sample(parents, chance.randint(1, 12)) for _ in range(size)])
    announcements.announce("a-large-worker", ["jobs-normal"], slots=1, window=5_000)
    monkeypatch.setattr(dispatch, "_window", (0.0, dispatch.MIN_WINDOW))
    monkeypatch.setattr("django_jobs.engine.turns.jobs_settings", _no_limit(), raising=False)
    broker.is_down = False
    chance.shuffle(claimed)

    run_crowd([settler(claimed[index::6], 1 + 3 * index) for index in range(6)])
    follow_up_all()

    assert not Job.objects.filter(status=Status.PENDING, ready_at__isnull=True).exists()
    logs = ExecutionLog.objects.filter(job__in=children).values_list("job_id", "to_status")
    assert set(Counter(logs).values()) == {1}
    assert Counter(broker.pushed).most_common(1)[0][1] == 1
    assert_families_are_consistent()


def _no_limit() -> Any:
    return type("Settings", (), {"MAX_IN_FLIGHT_PER_ORGANIZATION": 100_000})()


def test_parents_that_end_while_their_children_are_submitted_are_seen(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    chance = random.Random(2)
    size = 16 if is_small() else 120
    parents = submit_many(kind, organization, [[]] * size)
    claimed = claim_all(parents)
    chance.shuffle(claimed)
    some, others = claimed[::2], claimed[1::2]

    def submitter(seed: int) -> Callable[[], None]:
        mine = random.Random(seed)

        def run() -> None:
            for _ in range(size):
                with contextlib.suppress(InvalidSubmission):  # one of them has died already
                    submit_job(kind, organization, depends_on=mine.sample(parents, mine.randint(1, 3)))

        return run

    def die(item: Claimed) -> Any:
        return raised(item, "Permanent" if item.pk % 3 == 0 else "Transient")

    run_crowd([settler(some, 3), settler(others, 2, die), submitter(1), submitter(2), submitter(3)])
    follow_up_all()

    assert JobDependency.objects.exists()
    assert_families_are_consistent()


def test_parents_that_die_and_are_retried_at_once_leave_their_families_as_they_stand(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    chance = random.Random(3)
    size = 8 if is_small() else 40
    generations = [submit_many(kind, organization, [[]] * size)]
    for _ in range(3):
        families = [chance.sample(generations[-1], 2) for _ in range(size)]
        generations.append(submit_many(kind, organization, families))
    roots = generations[0]

    def canceler(verb: Callable[[Job], Job], seed: int) -> Callable[[], None]:
        mine = random.Random(seed)

        def run() -> None:
            for job in mine.sample(roots, len(roots)) * 2:
                with contextlib.suppress(InvalidTransition):
                    verb(job)

        return run

    def killer() -> None:
        for _ in range(4):
            for item in claim_all(list(Job.objects.filter(pk__in=[job.pk for job in roots]))):
                settle([raised(item, "Permanent")], WORKER)

    run_crowd([killer, killer, canceler(retry_job, 1), canceler(retry_job, 2), canceler(cancel_job, 3)])
    follow_up_all()

    assert_families_are_consistent()


class Storm:
    """Everything that can happen to families, at random, by many."""

    def __init__(self, kind: JobType, organization: Organization, rounds: int) -> None:
        self.kind = kind
        self.organization = organization
        self.rounds = rounds

    def member(self, act: Callable[[random.Random], object], seed: int) -> Callable[[], None]:
        chance = random.Random(seed)

        def run() -> None:
            for _ in range(self.rounds):
                with contextlib.suppress(InvalidTransition, InvalidSubmission):
                    act(chance)

        return run

    def submit(self, chance: random.Random) -> None:
        newest = list(Job.objects.order_by("-pk")[:30])
        parents = chance.sample(newest, min(len(newest), chance.randint(0, 3)))
        submit_job(self.kind, self.organization, depends_on=parents)

    def submit_some(self, chance: random.Random) -> None:
        """A family in a transaction that may be rolled back."""
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            self.submit(chance)
            self.submit(chance)
            if chance.random() < 0.3:
                raise ZeroDivisionError

    def work(self, chance: random.Random) -> None:
        ready = list(Job.objects.filter(ready_at__isnull=False).order_by("pk")[:20])
        claimed = claim_all(sorted(chance.sample(ready, min(len(ready), 6)), key=lambda job: job.pk))
        settle([self.outcome(item, chance.random()) for item in claimed], WORKER)

    def outcome(self, item: Claimed, luck: float) -> Any:
        return returned(item) if luck < 0.7 else raised(item, "Permanent" if luck < 0.9 else "Transient")

    def cancel(self, chance: random.Random) -> None:
        cancel_job(chance.choice(self.some(status=Status.PENDING)))

    def retry(self, chance: random.Random) -> None:
        retry_job(chance.choice(self.some(status=Status.DEAD_LETTER)))

    def some(self, **fields: Any) -> list[Job]:
        found = list(Job.objects.filter(**fields).order_by("-pk")[:20])
        if not found:
            raise InvalidTransition("nobody", "there", "find")
        return found

    def follow_up(self, chance: random.Random) -> None:
        follow_up()


@pytest.mark.parametrize("seed", [1])
def test_a_storm_leaves_every_family_consistent(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization, seed: int
) -> None:
    storm = Storm(kind, organization, 30 if is_small() else 120)
    acts = [storm.submit, storm.submit_some, storm.work, storm.work, storm.cancel, storm.retry, storm.follow_up]

    run_crowd([storm.member(act, 100 * seed + index) for index, act in enumerate(acts)])
    follow_up_all()

    assert_families_are_consistent()
    assert JobDependency.objects.exists()


@contextlib.contextmanager
def held(job: Job) -> Iterator[None]:
    """Somebody's open transaction that holds the job's row; where rows have locks of their own."""
    is_held, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Job.objects.filter(pk=job.pk).update(progress=1)
                is_held.set()
                is_over.wait(60)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold, daemon=True)
    if connection.features.has_select_for_update:
        thread.start()
        is_held.wait(60)
    try:
        yield
    finally:
        is_over.set()
        if thread.ident:
            thread.join(60)


def complete(*jobs: Job) -> None:
    settle([returned(item) for item in claim_all(list(jobs))], WORKER)


def test_a_parent_whose_row_is_held_keeps_only_its_own_children_waiting(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    first, second = submit_many(kind, organization, [[], []])
    complete(second)
    with held(first), transaction.atomic():
        stuck, free = submit_many(kind, organization, [[first], [second]])

    assert reread(free).ready_at is not None
    follow_up_all()
    assert reread(stuck).ready_at is None
    complete(first)
    follow_up_all()
    assert reread(stuck).ready_at is not None


def test_a_child_whose_row_is_held_keeps_no_other_family_waiting_however_many_parents_end(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    parents = submit_many(kind, organization, [[]] * 150)
    stuck = submit_job(kind, organization, depends_on=parents)
    other = submit_job(kind, organization)
    free = submit_job(kind, organization, depends_on=other)
    with held(stuck):
        complete(*parents)
        complete(other)
        assert reread(free).ready_at is not None
    follow_up_all()
    assert reread(stuck).ready_at is not None


def test_a_parent_that_ends_before_its_childs_submission_commits_is_seen(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    (parent,) = submit_many(kind, organization, [[]])
    claimed = claim_all([parent])

    def end() -> None:
        try:
            settler(claimed, 1)()
        finally:
            connections.close_all()

    thread = threading.Thread(target=end, daemon=True)
    with transaction.atomic():
        child = submit_job(kind, organization, depends_on=parent)
        thread.start()
        # SQLite holds the whole database, MariaDB's foreign key the parent's row: the end comes after the commit there.
        thread.join(60 if connection.vendor == "postgresql" else 0.2)
    thread.join(60)
    follow_up_all()

    assert reread(parent).status in TERMINAL
    assert reread(child).ready_at is not None
