"""The races that matter most, between processes as on a real site: no lock or cache of one interpreter helps."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from django_jobs.models import DuplicateKey, Job, JobType, Organization
from django_jobs.statuses import Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, make_queued
from tests.concurrency.members import interfere, look_after, submit_each, submit_lists, work
from tests.concurrency.processes import run_processes
from tests.support.factories import make_job_type, make_organization

PROCESSES = 4
NAMES = [f"worker-{number}" for number in range(PROCESSES)]


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300, retry_delay=0, max_retries=3)


@pytest.fixture
def organization() -> Organization:
    return make_organization()


def accepted_and_told(answers: list[Any]) -> tuple[dict[int, list[int]], dict[int, set[int]]]:
    """By number: the jobs that were accepted, and all that anybody was told of."""
    accepted: dict[int, list[int]] = defaultdict(list)
    told: dict[int, set[int]] = defaultdict(set)
    for number, pk, is_mine in (row for answer in answers for row in answer):
        told[number].add(pk)
        accepted[number] += [pk] if is_mine else []
    return accepted, told


def test_of_processes_that_submit_the_same_work_each_piece_is_accepted_once(
    kind: JobType, organization: Organization
) -> None:
    # Two of each race with their like, too.
    members = [submit_each, submit_lists] * (PROCESSES // 2)
    numbers = list(range(10 if is_small() else 60))
    common = {"kind": kind.pk, "organization": organization.name, "numbers": numbers}

    answers = run_processes([(member, {**common, "seed": seed}) for seed, member in enumerate(members)])

    accepted, told = accepted_and_told(answers)
    assert {number: len(pks) for number, pks in accepted.items()} == dict.fromkeys(numbers, 1)
    assert {number: {pks[0]} for number, pks in accepted.items()} == told
    assert Job.objects.count() == DuplicateKey.objects.count() == len(numbers)


def test_processes_that_claim_settle_renew_dispatch_cancel_and_retry_leave_true_histories(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    make_queued(kind, organization, 100 if is_small() else 400)
    rounds = 10 if is_small() else 60
    calls: list[tuple[Any, dict[str, Any]]] = [
        (work, {"name": name, "rounds": rounds, "seed": seed}) for seed, name in enumerate(NAMES)
    ]
    calls += [(look_after, {"names": NAMES, "rounds": rounds, "seed": 0})] * 2
    calls += [(interfere, {"rounds": rounds, "seed": 1})]

    *ended, _, _, accepted = run_processes(calls)

    assert_histories_are_chains()
    assert sum(ended) > 0
    assert accepted > 0
    assert not Job.objects.filter(status=Status.RUNNING).exists()
