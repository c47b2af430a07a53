"""The memory of passes was deleted by somebody, and columns have what no form takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_jobs.models import EngineLease, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, end, pending_job, raised, running_job
from tests.support.factories import make_job_type


def wait_for_dispatch(broker: MemoryBroker, *kinds: JobType) -> list[Job]:
    """One job of each type, which nobody has dispatched yet."""
    broker.is_down = True
    jobs = [pending_job(kind) for kind in kinds]
    broker.is_down = False
    return jobs


def queued_types() -> list[str]:
    verbs.dispatch()
    return sorted(Job.objects.filter(status="Queued").values_list("job_type_id", flat=True))


def test_what_started_lately_counts_where_the_passes_memory_is_lost(
    broker: MemoryBroker, organization: Organization
) -> None:
    kind = make_job_type(max_starts=2, max_starts_window=60)
    for _ in range(2):
        running_job(job_type=kind, organization=organization)
    wait_for_dispatch(broker, kind)
    EngineLease.objects.filter(pk="dispatcher").delete()
    assert queued_types() == []
    assert queued_types() == []  # what was read is kept


def test_so_does_the_start_of_what_is_queued_again(broker: MemoryBroker) -> None:
    kind = make_job_type(max_starts=2)
    job, claimed = running_job(job_type=kind)
    end(raised(claimed))
    Job.objects.filter(pk=job.pk).update(ready_at=verbs.now(), is_delayed=False)
    assert queued_types() == [kind.pk]
    wait_for_dispatch(broker, kind)
    EngineLease.objects.filter(pk="dispatcher").delete()
    assert queued_types() == [kind.pk]


def test_what_a_key_started_lately_counts_where_the_row_is_made_anew(broker: MemoryBroker) -> None:
    kind = make_job_type(max_starts_per_key=1, concurrency_key="account", max_running_per_key=9)
    _, claimed = running_job(job_type=kind)
    broker.is_down = True
    same, other = pending_job(kind, Organization.objects.get(pk=claimed.organization_pk)), pending_job(kind)
    broker.is_down = False
    EngineLease.objects.filter(pk="dispatcher").delete()
    verbs.dispatch()
    assert [job.pk for job in Job.objects.filter(status="Queued")] == [other.pk]
    assert Job.objects.get(pk=same.pk).status == "Pending"


@pytest.mark.parametrize(
    "values",
    [
        {"max_running": 0},
        {"max_running_per_organization": 0},
        {"concurrency_key": "account", "keyed_by": "account", "max_running_per_key": 0},
        {"max_starts": 0},
        {"concurrency_key": "account", "keyed_by": "account", "max_starts_per_key": 0},
        {"pool": "x" * 40},
    ],
    ids=json.dumps,
)
def test_a_limit_of_nothing_in_the_database_lets_nothing_go_and_holds_up_no_other_type(
    broker: MemoryBroker, values: dict[str, Any]
) -> None:
    plain, odd = make_job_type(), make_job_type()
    wait_for_dispatch(broker, plain, odd)
    JobType.objects.filter(pk=odd.pk).update(**values)
    assert queued_types() == [plain.pk]


def test_a_window_of_no_seconds_in_the_database_counts_as_one(broker: MemoryBroker) -> None:
    plain, odd = make_job_type(), make_job_type(max_starts=1)
    wait_for_dispatch(broker, plain, odd, odd)
    JobType.objects.filter(pk=odd.pk).update(max_starts_window=0)
    assert queued_types() == sorted([plain.pk, odd.pk])
