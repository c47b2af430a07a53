"""Families whose members end, are born, canceled and retried at the same moment: nobody is forgotten or wronged."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from pytest_django import Settings

from django_jobs import cancel_job, retry_job, submit_job
from django_jobs.exceptions import InvalidSubmission, InvalidTransition, JobNotFound
from django_jobs.models import ExecutionLog, Job, JobDependency, JobType, Organization
from django_jobs.statuses import TERMINAL, Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import is_small, run_crowd
from tests.concurrency.families import assert_families_are_consistent, follow_up_all, settler, submit_many
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, WORKER, raised, returned
from tests.support.deletions import delete_jobs
from tests.support.factories import make_job_type, make_organization
from tests.support.families import claim_all, run_after_ended
from tests.support.verbs import Claimed


@pytest.fixture
def kind(transactional_db: None) -> JobType:
    return make_job_type()


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return make_organization()


def test_parents_that_complete_in_sets_of_many_workers_release_each_child_once(
    broker: CrowdedBroker, kind: JobType, organization: Organization, settings: Settings
) -> None:
    broker.is_down = True
    chance = random.Random(1)
    size = 24 if is_small() else 240
    parents = submit_many(kind, organization, [[]] * size)
    claimed = claim_all(parents)
    children = submit_many(kind, organization, [chance.sample(parents, chance.randint(1, 12)) for _ in range(size)])
    verbs.announce_worker("a-large-worker", ALL_QUEUES, slots=5_000)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 100_000}
    broker.is_down = False
    chance.shuffle(claimed)

    run_crowd([settler(claimed[index::6], 1 + 3 * index) for index in range(6)])
    follow_up_all()

    assert not Job.objects.filter(status=Status.PENDING, ready_at__isnull=True).exists()
    logs = ExecutionLog.objects.filter(job__in=children).values_list("job_id", "to_status")
    assert set(Counter(logs).values()) == {1}
    assert Counter(broker.pushed).most_common(1)[0][1] == 1
    assert_families_are_consistent()


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
                verbs.settle_all([raised(item, "Permanent")], WORKER)

    run_crowd([killer, killer, canceler(retry_job, 1), canceler(retry_job, 2), canceler(cancel_job, 3)])
    follow_up_all()

    assert_families_are_consistent()


class Storm:
    """Everything that can happen to families, at random, by many."""

    def __init__(self, kind: JobType, organization: Organization, rounds: int) -> None:
        self.kind = kind
        self.organization = organization
        self.rounds = rounds
        self.children = 0  # jobs with parents that were submitted; the storm may have deleted them since

    def member(self, act: Callable[[random.Random], object], seed: int) -> Callable[[], None]:
        chance = random.Random(seed)

        def run() -> None:
            for _ in range(self.rounds):
                with contextlib.suppress(
                    InvalidTransition, InvalidSubmission, JobNotFound
                ):  # the last: deleted meanwhile
                    act(chance)

        return run

    def submit(self, chance: random.Random) -> None:
        newest = list(Job.objects.order_by("-pk")[:30])
        parents = chance.sample(newest, min(len(newest), chance.randint(0, 3)))
        with transaction.atomic():
            job = submit_job(self.kind, self.organization, depends_on=parents)
            if chance.random() < 0.3:
                run_after_ended(job)
        self.children += bool(parents)

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
        verbs.settle_all([self.outcome(item, chance.random()) for item in claimed], WORKER)

    def outcome(self, item: Claimed, luck: float) -> Any:
        return returned(item) if luck < 0.7 else raised(item, "Permanent" if luck < 0.9 else "Transient")

    def cancel(self, chance: random.Random) -> None:
        cancel_job(chance.choice(self.some(status=Status.PENDING)))

    def retry(self, chance: random.Random) -> None:
        retry_job(chance.choice(self.some(status=Status.DEAD_LETTER)))

    def delete(self, chance: random.Random) -> None:
        jobs = self.some(status__in=sorted(TERMINAL))
        chosen = chance.sample(jobs, min(len(jobs), chance.randint(1, 3)))
        delete_jobs([job.pk for job in chosen], release_children=chance.random() < 0.5)

    def some(self, **fields: Any) -> list[Job]:
        found = list(Job.objects.filter(**fields).order_by("-pk")[:20])
        if not found:
            raise InvalidTransition("nobody", "there", "find")
        return found

    def follow_up(self, chance: random.Random) -> None:
        verbs.follow_up()


@pytest.mark.parametrize("seed", [1])
def test_a_storm_leaves_every_family_consistent(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization, seed: int
) -> None:
    storm = Storm(kind, organization, 30 if is_small() else 120)
    acts = [storm.submit, storm.submit_some, storm.work, storm.work, storm.cancel, storm.retry, storm.follow_up]
    acts += [storm.delete]

    run_crowd([storm.member(act, 100 * seed + index) for index, act in enumerate(acts)])
    follow_up_all()

    assert_families_are_consistent()
    assert storm.children > 0
