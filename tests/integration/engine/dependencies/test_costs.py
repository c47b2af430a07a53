"""What relatives cost: as many statements for many as for a few, and none for a job without any."""

from __future__ import annotations

import pytest

from django_jobs import submit_job, submit_jobs
from django_jobs.models import DependencyTask, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import end, returned, start
from tests.support.statements import statements_of

pytestmark = pytest.mark.usefixtures("nothing_is_dispatched")


def cost_of_an_end(kind: JobType, organization: Organization, children: int) -> int:
    parent = submit_job(kind, organization)
    item = {"job_type": kind, "organization": organization, "depends_on": [parent.name]}
    submit_jobs([item] * children)
    verbs.follow_up()
    claimed = start(parent)

    def run() -> None:
        end(returned(claimed))
        verbs.follow_up()

    return statements_of(run)


def test_a_parents_end_costs_the_same_for_10_and_400_children(kind: JobType, organization: Organization) -> None:
    few, many = (cost_of_an_end(kind, organization, children) for children in (10, 400))
    assert many <= few
    assert Job.objects.filter(ready_at__isnull=False).count() == 410


def test_a_job_without_relatives_pays_nothing_for_those_of_others(kind: JobType, organization: Organization) -> None:
    claimed = start(submit_job(kind, organization))
    assert statements_of(lambda: end(returned(claimed))) <= 9
    assert not DependencyTask.objects.exists()
