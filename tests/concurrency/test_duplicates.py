"""The same work submitted by many at the same moment: one is accepted, and everybody else is told which."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable

import pytest
from django.db import transaction

from django_jobs import cancel_job, submit_job, submit_jobs
from django_jobs.exceptions import DuplicateJob
from django_jobs.models import DuplicateKey, ExecutionLog, Job, JobType, Organization
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, run_crowd
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization

CROWD = 8


class Rivals:
    """Threads that submit the same pieces of work, and what each of them was told."""

    def __init__(self, kind: JobType, organization: Organization) -> None:
        self.kind = kind
        self.organization = organization
        self.accepted: dict[int, list[int]] = defaultdict(list)
        self.refused: dict[int, list[int]] = defaultdict(list)

    def submit(self, number: int) -> None:
        try:
            job = submit_job(self.kind.pk, self.organization.name, {"number": number})
        except DuplicateJob as error:
            self.refused[number].append(error.existing.pk)
        else:
            self.accepted[number].append(job.pk)

    def one_by_one(self, numbers: list[int]) -> Callable[[], None]:
        def run() -> None:
            for number in numbers:
                self.submit(number)

        return run

    def all_at_once(self, numbers: list[int]) -> Callable[[], None]:
        """Lists that leave out what others have, until everything in it is somebody's."""

        def run() -> None:
            left = list(numbers)
            while left:
                items = [
                    {"job_type": self.kind, "organization": self.organization, "parameters": {"number": number}}
                    for number in left
                ]
                try:
                    jobs = submit_jobs(items)
                except DuplicateJob as error:
                    self.refused[left.pop(error.index)].append(error.existing.pk)
                    continue
                for number, job in zip(left, jobs, strict=True):
                    self.accepted[number].append(job.pk)
                return

        return run

    def assert_each_was_accepted_once(self, numbers: range, *, already: int = 0) -> None:
        assert {number: len(pks) for number, pks in self.accepted.items()} == dict.fromkeys(numbers, 1)
        winners = {number: pks[0] for number, pks in self.accepted.items()}
        assert {number: set(pks) for number, pks in self.refused.items()} == {
            number: {winners[number]} for number in self.refused
        }
        assert Job.objects.count() == ExecutionLog.objects.filter(to_status="Pending").count() == already + len(numbers)
        assert set(DuplicateKey.objects.values_list("job_id", flat=True)) == set(winners.values())
        assert_histories_are_chains()


@pytest.fixture
def rivals(broker: CrowdedBroker) -> Rivals:
    broker.is_down = True
    return Rivals(make_job_type(deduplication_window=300), make_organization())


def numbers_for(large: int) -> range:
    return range(5 if is_small() else large)


def test_of_many_simultaneous_submissions_one_wins_and_the_others_get_its_job(rivals: Rivals) -> None:
    numbers = numbers_for(40)

    run_crowd([rivals.one_by_one(list(numbers))] * CROWD)

    rivals.assert_each_was_accepted_once(numbers)
    assert sum(map(len, rivals.refused.values())) == len(numbers) * (CROWD - 1)


def test_of_those_that_wait_for_a_submission_that_is_rolled_back_one_wins(rivals: Rivals) -> None:
    is_submitted = threading.Event()
    arrivals = threading.Semaphore(0)

    def submit_and_roll_back() -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012  (the others come in between)
            submit_job(rivals.kind, rivals.organization, {"number": 0})
            is_submitted.set()
            for _ in range(CROWD):
                arrivals.acquire(timeout=60)
            raise ZeroDivisionError

    def wait_and_submit() -> None:
        is_submitted.wait(60)
        arrivals.release()
        rivals.submit(0)

    run_crowd([submit_and_roll_back, *[wait_and_submit] * CROWD])

    rivals.assert_each_was_accepted_once(range(1))
    assert len(rivals.refused[0]) == CROWD - 1


def test_lists_that_overlap_in_any_order_get_each_piece_of_work_done_once(rivals: Rivals) -> None:
    numbers = numbers_for(60)
    chance = random.Random(1)
    lists = [chance.sample(numbers, len(numbers)) for _ in range(6)]

    run_crowd([rivals.all_at_once(items) for items in lists])

    rivals.assert_each_was_accepted_once(numbers)


def test_lists_and_single_submissions_get_each_piece_of_work_done_once(rivals: Rivals) -> None:
    numbers = numbers_for(60)
    chance = random.Random(2)
    lists = [chance.sample(numbers, len(numbers)) for _ in range(3)]
    singles = [chance.sample(numbers, len(numbers)) for _ in range(3)]

    run_crowd([*map(rivals.all_at_once, lists), *map(rivals.one_by_one, singles)])

    rivals.assert_each_was_accepted_once(numbers)


def submit_earlier(rivals: Rivals, numbers: range) -> list[Job]:
    return [submit_job(rivals.kind, rivals.organization, {"number": number}) for number in numbers]


def test_when_the_window_has_just_passed_one_follows_and_keys_may_be_forgotten_meanwhile(rivals: Rivals) -> None:
    numbers = numbers_for(40)
    submit_earlier(rivals, numbers)
    DuplicateKey.objects.update(expires_at=verbs.now())
    chance = random.Random(3)

    def forget() -> None:
        for _ in numbers:
            verbs.forget_expired_keys()

    orders = [chance.sample(numbers, len(numbers)) for _ in range(6)]
    run_crowd([forget, *map(rivals.one_by_one, orders[:3]), *map(rivals.all_at_once, orders[3:])])

    rivals.assert_each_was_accepted_once(numbers, already=len(numbers))


def test_when_the_earlier_job_was_canceled_one_follows(rivals: Rivals) -> None:
    numbers = numbers_for(20)
    for job in submit_earlier(rivals, numbers):
        cancel_job(job)

    run_crowd([rivals.one_by_one(list(numbers))] * CROWD)

    rivals.assert_each_was_accepted_once(numbers, already=len(numbers))


def test_a_job_that_is_canceled_meanwhile_makes_room_for_one_at_a_time(rivals: Rivals) -> None:
    rounds = 5 if is_small() else 40

    def submit_and_cancel() -> None:
        for _ in range(rounds):
            try:
                job = submit_job(rivals.kind, rivals.organization)
            except DuplicateJob:
                continue
            cancel_job(job)

    run_crowd([submit_and_cancel] * 6)

    assert not Job.objects.exclude(status="Canceled").exists()
    assert submit_job(rivals.kind, rivals.organization).pk
    assert_histories_are_chains()
