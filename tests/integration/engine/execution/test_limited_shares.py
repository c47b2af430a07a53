"""A worker's share of types with limits: never more than a limit leaves, and what is left has its turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection

from django_jobs import pools
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import IN_FLIGHT
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, end, pending_job, queue_up, returned, start, ticket_of
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Claimed

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only there a move passes two statuses at once"),
    pytest.mark.usefixtures("broker"),
]


def backlog(
    kind: JobType, organization: Organization, accounts: Sequence[Any] = (1,), each: int = 5, **fields: Any
) -> list[Job]:
    """Jobs of these accounts in turn, of a type and organization that a worker knows to be allowed."""
    end(returned(start(pending_job(kind, organization))))
    return [
        pending_job(kind, organization, parameters={"account": account, "number": number}, **fields)
        for number in range(each)
        for account in accounts
    ]


def take(count: int = 16, fits: Any = len) -> list[Claimed]:
    return verbs.take_share(pools.all_queues(), count, WORKER, fits, lambda _: None) or []


def in_flight(*fields: str) -> Counter[Any]:
    """How many jobs are queued or running, by these fields."""
    return Counter(Job.objects.filter(status__in=sorted(IN_FLIGHT)).values_list(*fields))


def accounts(claimed: Sequence[Claimed]) -> Counter[Any]:
    return Counter(item.parameters["account"] for item in claimed)


def test_a_share_takes_of_each_organization_what_its_limit_leaves() -> None:
    kind = make_job_type(max_running_per_organization=3)
    busy, idle = make_organization(), make_organization()
    jobs = [*backlog(kind, busy), *backlog(kind, idle)]
    start(jobs[0])
    assert Counter(item.organization_pk for item in take()) == {busy.pk: 2, idle.pk: 3}
    assert take() == []


def test_a_share_takes_of_each_key_what_its_limit_leaves(organization: Organization) -> None:
    kind = make_job_type(concurrency_key="account", max_running_per_key=2)
    jobs = backlog(kind, organization, accounts=(1, 2, 3))
    start(jobs[0])
    assert accounts(take()) == {1: 1, 2: 2, 3: 2}
    assert take() == []


def test_the_same_key_of_another_organization_has_places_of_its_own(organization: Organization) -> None:
    kind = make_job_type(concurrency_key="account")
    start(backlog(kind, organization)[0])
    other = make_organization()
    backlog(kind, other)
    assert [item.organization_pk for item in take()] == [other.pk]


def test_what_has_a_ticket_counts_as_well(organization: Organization) -> None:
    kind = make_job_type(max_running_per_organization=2, concurrency_key="account", max_running_per_key=2)
    queued = queue_up(backlog(kind, organization, priority="Low")[0])
    backlog(kind, organization)
    assert len(take()) == 1
    assert verbs.claim([ticket_of(queued)], WORKER)
    assert take() == []


def test_the_narrower_of_both_limits_holds(organization: Organization) -> None:
    kind = make_job_type(max_running_per_organization=3, concurrency_key="account", max_running_per_key=2)
    backlog(kind, organization, accounts=(1, 2, 3))
    found = accounts(take())
    assert sum(found.values()) == 3
    assert max(found.values()) <= 2


def test_full_types_hold_up_no_other_type_of_the_organization(organization: Organization) -> None:
    full, free = make_job_type(max_running_per_organization=1), make_job_type()
    start(backlog(full, organization)[0])
    jobs = backlog(free, organization)
    assert [item.pk for item in take()] == [job.pk for job in jobs]


def test_what_the_worker_leaves_of_a_share_counts_once_it_has_a_ticket(
    broker: MemoryBroker, organization: Organization
) -> None:
    kind = make_job_type(concurrency_key="account", max_running_per_key=2)
    backlog(kind, organization, accounts=(1, 2))
    assert len(take(fits=lambda _: 1)) == 1
    assert len(broker.pks()) == 3
    assert take() == []
    assert verbs.dispatch() == 0
    assert set(in_flight("lane_key").values()) == {2}


def test_the_dispatcher_adds_nothing_to_a_share_that_took_all_places(organization: Organization) -> None:
    kind = make_job_type(max_running_per_organization=3)
    backlog(kind, organization)
    assert len(take()) == 3
    assert verbs.dispatch() == 0
    assert in_flight("status") == {("Running",): 3}


def test_a_type_with_a_limit_of_its_own_is_left_to_the_dispatcher(
    broker: MemoryBroker, organization: Organization
) -> None:
    kind = make_job_type(max_running=2)
    backlog(kind, organization)
    assert take() == []
    assert verbs.dispatch() == 2
    assert len(verbs.claim(broker.take_all(), WORKER)) == 2
    assert take() == []


@pytest.mark.parametrize(
    ("limits", "of_organization", "of_lane"),
    [
        ({"max_running_per_organization": 2}, 2, 2),
        ({"concurrency_key": "account"}, 3, 1),
        ({"max_running_per_organization": 4, "concurrency_key": "account", "max_running_per_key": 2}, 4, 2),
    ],
    ids=["organization", "key", "both"],
)
def test_what_is_left_has_its_turn_until_nothing_is(limits: dict[str, Any], of_organization: int, of_lane: int) -> None:
    kind, organizations = make_job_type(**limits), [make_organization() for _ in range(2)]
    jobs = [job for organization in organizations for job in backlog(kind, organization, accounts=(1, 2, 3))]
    done: list[int] = []
    while claimed := take():
        assert max(in_flight("organization_id").values()) <= of_organization
        assert max(in_flight("organization_id", "lane_key").values()) <= of_lane
        done += [end(returned(item)).pk for item in claimed]
    assert sorted(done) == sorted(job.pk for job in jobs)


def test_a_key_at_its_limit_leaves_its_organizations_other_places_to_other_keys(organization: Organization) -> None:
    kind = make_job_type(max_running_per_organization=2, concurrency_key="account")
    backlog(kind, organization, each=10)
    backlog(kind, organization, accounts=(2, 3), each=1)
    first = take()
    assert accounts(first) == {1: 1, 2: 1}
    for item in first:
        end(returned(item))
    assert accounts(take()) == {1: 1, 3: 1}
