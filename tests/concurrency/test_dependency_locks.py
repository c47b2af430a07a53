"""Families of which somebody holds a row, or has not committed yet: only those wait whom it concerns."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_jobs import get_job_history, retry_job, submit_job
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import TERMINAL, Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.families import follow_up_all, settler, submit_many
from tests.concurrency.held import LONGEST, held
from tests.support import verbs
from tests.support.brokers import WORKER, raised, reread, returned
from tests.support.deletions import delete_jobs
from tests.support.factories import make_job_type, make_organization
from tests.support.families import claim_all
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose


@pytest.fixture
def kind(transactional_db: None) -> JobType:
    return make_job_type()


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return make_organization()


def complete(*jobs: Job) -> None:
    verbs.settle([returned(item) for item in claim_all(list(jobs))], WORKER)


def test_a_parent_whose_row_is_held_keeps_only_its_own_children_waiting(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    first, second = submit_many(kind, organization, [[], []])
    complete(second)
    with held(first, progress=1), transaction.atomic():
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
    with held(stuck, progress=1):
        complete(*parents)
        complete(other)
        assert reread(free).ready_at is not None
    follow_up_all()
    assert reread(stuck).ready_at is not None


def test_a_child_of_a_large_family_whose_row_is_held_when_its_page_is_turned_is_looked_at_later(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(follow_up_page_jobs=5)
    (parent,) = submit_many(kind, organization, [[]])
    stuck, *others = submit_many(kind, organization, [[parent]] * 12)
    with held(stuck, progress=1):
        complete(parent)
        assert all(reread(child).ready_at is not None for child in others)
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


def test_a_dead_parent_goes_while_somebody_holds_a_child_that_died_with_it_and_stays_dead(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    killer, other = submit_many(kind, organization, [[], []])
    child = submit_job(kind, organization, depends_on=[killer, other])
    verbs.settle([raised(item, "Permanent") for item in claim_all([killer])], WORKER)
    assert reread(child).is_orphaned
    with held(child, progress=1):
        assert delete_jobs([killer.pk]) == 1
        assert reread(child).is_orphaned == connection.features.has_select_for_update
    complete(other)
    follow_up_all()
    assert (reread(child).status, Job.objects.filter(pk=killer.pk).exists()) == ("Dead Letter", False)


def test_a_parent_does_not_die_and_go_while_a_child_is_revived_since_it_may_complete_again(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization, interpose: Interpose
) -> None:
    (killer,) = submit_many(kind, organization, [[]])
    child = submit_job(kind, organization, depends_on=killer)
    verbs.settle([raised(item, "Permanent") for item in claim_all([killer])], WORKER)
    with held(child, progress=1):
        retry_job(killer)
        deaths = [raised(item, "Permanent") for item in claim_all([reread(killer)])]
    move = verbs.move

    def die_and_go() -> None:
        try:
            verbs.settle(deaths, WORKER)
            delete_jobs([killer.pk])
        finally:
            connections.close_all()

    def revive_meanwhile(moves: Any, terms: Any, **more: Any) -> Any:
        is_revival = moves and list(terms.sources) == [Status.DEAD_LETTER]
        if is_revival and connection.features.has_select_for_update:  # SQLite has one writer at a time
            thread = threading.Thread(target=die_and_go, daemon=True)
            thread.start()
            thread.join(LONGEST)
            assert not thread.is_alive()
        return move(moves, terms, **more)

    interpose("move", revive_meanwhile)
    follow_up_all()
    verbs.settle(deaths, WORKER)
    follow_up_all()
    assert (reread(child).status, [row["to_status"] for row in get_job_history(child)][-2:]) == (
        "Dead Letter",
        ["Pending", "Dead Letter"],
    )
