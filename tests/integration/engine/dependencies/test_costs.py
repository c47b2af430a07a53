"""What relatives cost: as many statements for a page of them as for ten, and none for a job without any."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import submit_job, submit_jobs
from django_jobs.models import DependencyTask, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import end, raised, returned, start
from tests.support.statements import statements_of
from tests.support.stores import store_name

pytestmark = pytest.mark.usefixtures("nothing_is_dispatched")


def cost_of_an_end(kind: JobType, organization: Organization, children: int, ending: Any) -> int:
    parent = submit_job(kind, organization)
    item = {"job_type": kind, "organization": organization, "depends_on": [parent.name]}
    submit_jobs([item] * children)
    verbs.follow_up()
    claimed = start(parent)

    def run() -> None:
        end(ending(claimed))
        verbs.follow_up()

    return statements_of(run)


def test_a_parents_end_costs_the_same_for_10_and_400_children(kind: JobType, organization: Organization) -> None:
    few, many = (cost_of_an_end(kind, organization, children, returned) for children in (10, 400))
    assert few == many
    assert Job.objects.filter(ready_at__isnull=False).count() == 410


def test_a_parents_death_costs_little_more_for_400_children_than_for_10(
    kind: JobType, organization: Organization
) -> None:
    few, many = (
        cost_of_an_end(kind, organization, children, lambda claimed: raised(claimed, "Permanent"))
        for children in (10, 400)
    )
    # Where a set moves through the ORM, its log rows are written in as many statements as the driver needs.
    assert many <= few + {"postgresql": 0, "mysql": 2, "sqlite": 16, "portable": 0}[store_name()]
    assert Job.objects.filter(is_orphaned=True).count() == 410


def test_a_job_without_relatives_pays_nothing_for_those_of_others(kind: JobType, organization: Organization) -> None:
    claimed = start(submit_job(kind, organization))
    assert (
        statements_of(lambda: end(returned(claimed)))
        <= {"postgresql": 2, "mysql": 9, "sqlite": 8, "portable": 7}[store_name()]
    )
    assert not DependencyTask.objects.exists()
