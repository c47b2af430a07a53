"""How many jobs of a type, an organization or a key the dispatcher queues."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import pytest

from django_jobs import AccessPolicy, pools
from django_jobs.models import EngineLease, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, MemoryBroker, end, pending_job, pending_jobs, returned, running_job, start
from tests.support.factories import make_job_type, make_organization


class Double(AccessPolicy):
    """Gives one organization twice as much as the others."""

    pk: ClassVar[Any] = None

    def weight(self, organization: Any) -> float:
        return 2.0 if organization.pk == self.pk else 1.0


class AtMostTwo(AccessPolicy):
    """Lets two jobs of an organization be in flight, unless the test says another number."""

    limits: ClassVar[dict[Any, int]] = {}

    def in_flight_limit(self, organization: Any) -> int:
        return self.limits.get(organization.pk, 2)


@pytest.fixture(autouse=True)
def _room(broker: MemoryBroker) -> None:
    """Room for a hundred jobs."""
    verbs.announce_worker("a-worker", ALL_QUEUES, slots=100)


def waiting(broker: MemoryBroker, *lanes: tuple[Any, Organization, int], count: int = 4) -> list[Job]:
    """So many jobs of each of these types, organizations and keys, which nobody has dispatched yet."""
    broker.is_down = True
    jobs: list[Job] = []
    for kind, organization, key in lanes:
        of_lane = pending_jobs(kind, organization, count)
        Job.objects.filter(pk__in=[job.pk for job in of_lane]).update(lane_key=key)
        jobs += of_lane
    broker.is_down = False
    return jobs


def queued() -> Counter[Any]:
    """How many jobs of each organization and key are queued, by one pass or several."""
    verbs.dispatch()
    verbs.dispatch()
    rows = Job.objects.filter(status="Queued").values_list("organization_id", "lane_key")
    return Counter(rows)


def test_no_more_of_a_type_are_in_flight_than_it_may(broker: MemoryBroker) -> None:
    kind, other = make_job_type(max_running=3), make_job_type()
    organizations = [make_organization() for _ in range(3)]
    waiting(broker, *((kind, organization, 0) for organization in organizations), (other, organizations[0], 0))
    verbs.dispatch()
    assert Job.objects.filter(status="Queued", job_type=kind).count() == 3
    assert Job.objects.filter(status="Queued", job_type=other).count() == 4
    of_each = Job.objects.filter(status="Queued", job_type=kind).values_list("organization_id", flat=True)
    assert sorted(of_each) == [organization.pk for organization in organizations]


def test_no_more_of_an_organization_are_in_flight_than_a_type_allows(broker: MemoryBroker) -> None:
    kind, organizations = make_job_type(max_running_per_organization=2), [make_organization() for _ in range(2)]
    lanes = [(kind, organization, 0) for organization in organizations]
    waiting(broker, *lanes, count=1)
    verbs.dispatch()
    waiting(broker, *lanes)
    assert queued() == {(organization.pk, 0): 2 for organization in organizations}


def test_no_more_of_a_key_are_in_flight_than_a_type_allows(broker: MemoryBroker, organization: Organization) -> None:
    kind = make_job_type(concurrency_key="account", max_running_per_key=2)
    lanes = [(kind, organization, key) for key in (-3, 1, 2)] + [(kind, make_organization(), 1)]
    waiting(broker, *lanes, count=1)
    verbs.dispatch()
    waiting(broker, *lanes)
    assert queued() == {(of.pk, key): 2 for _, of, key in lanes}


def test_while_jobs_come_into_the_lanes_of_another_key_none_goes(
    broker: MemoryBroker, organization: Organization
) -> None:
    kind = make_job_type(concurrency_key="account")
    JobType.objects.update(keyed_by="another")
    waiting(broker, (kind, organization, 1))
    assert not queued()
    JobType.objects.update(keyed_by="account")
    assert queued() == {(organization.pk, 1): 1}


def test_the_narrowest_limit_holds(broker: MemoryBroker, organization: Organization) -> None:
    kind = make_job_type(
        max_running=4, max_running_per_organization=3, concurrency_key="account", max_running_per_key=2
    )
    other = make_organization()
    waiting(broker, *((kind, of, key) for of in (organization, other) for key in (1, 2)))
    found = queued()
    assert sum(found.values()) == 4
    assert all(count <= 2 for count in found.values())
    assert all(sum(found[of.pk, key] for key in (1, 2)) <= 3 for of in (organization, other))


def test_what_runs_counts_and_its_end_makes_room(broker: MemoryBroker, organization: Organization) -> None:
    kind = make_job_type(max_running=1)
    _, claimed = running_job(job_type=kind)
    waiting(broker, (kind, organization, 0), count=2)
    assert queued() == {}
    end(returned(claimed))
    assert queued() == {(organization.pk, 0): 1}


def test_a_new_job_of_a_full_type_waits_and_one_of_another_type_goes(
    broker: MemoryBroker, organization: Organization
) -> None:
    kind = make_job_type(max_running=1)
    jobs = [pending_job(of, organization) for of in (kind, kind, make_job_type())]
    for job in jobs:
        verbs.dispatch_new(job)
    status = dict(Job.objects.values_list("pk", "status"))
    assert [status[job.pk] for job in jobs] == ["Queued", "Pending", "Queued"]


def test_full_lanes_do_not_hold_up_what_lies_behind_them(
    broker: MemoryBroker, organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 500}
    kind = make_job_type(concurrency_key="account")
    lanes = [(kind, organization, key) for key in range(1, 121)]
    waiting(broker, *lanes, count=1)
    assert len(queued()) == 100
    broker.take_all()
    Job.objects.filter(status="Queued").update(status="Running")
    waiting(broker, *lanes, count=1)
    assert queued() == {(organization.pk, key): 1 for key in range(101, 121)}


@pytest.mark.slow
def test_no_key_waits_for_ever_behind_others_of_its_organization(
    broker: MemoryBroker, organization: Organization
) -> None:
    verbs.withdraw_worker("a-worker")
    verbs.announce_worker("a-worker", ALL_QUEUES, slots=4)
    kind = make_job_type(concurrency_key="account")
    keys = [number * (2**64 // 25) - 2**63 for number in range(1, 25)]  # hashes lie all over the numbers that there are
    waiting(broker, *((kind, organization, key) for key in keys), count=30)
    served: set[int] = set()
    for _ in range(120):
        verbs.dispatch()
        gone = Job.objects.filter(pk__in=[ticket.pk for ticket in broker.take_all()])
        served |= set(gone.values_list("lane_key", flat=True))
        gone.update(status="Completed")
    assert served == set(keys)


def test_organizations_at_the_policys_limit_leave_no_room_unused(broker: MemoryBroker, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.AtMostTwo"}
    verbs.forget_tenant_shares()
    kind, organizations = make_job_type(), [make_organization() for _ in range(10)]
    for organization in organizations[:9]:
        for _ in range(2):
            start(pending_job(kind, organization))
    waiting(broker, *((kind, organization, 0) for organization in organizations), count=2)
    AtMostTwo.limits = {organizations[9].pk: 90}
    verbs.forget_tenant_shares()
    waiting(broker, (kind, organizations[9], 0), count=70)
    verbs.dispatch()
    assert Counter(Job.objects.filter(status="Queued").values_list("organization_id", flat=True)) == {
        organizations[9].pk: 72
    }


def test_organizations_get_jobs_by_their_weights(broker: MemoryBroker, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.Double"}
    kind, organizations = make_job_type(), [make_organization() for _ in range(3)]
    Double.pk = organizations[1].pk
    verbs.forget_tenant_shares()
    waiting(broker, *((kind, organization, 0) for organization in organizations), count=20)
    verbs.withdraw_worker("a-worker")
    verbs.announce_worker("a-worker", ALL_QUEUES, slots=4)
    served: Counter[Any] = Counter()
    for _ in range(6):
        verbs.dispatch()
        gone = Job.objects.filter(pk__in=[ticket.pk for ticket in broker.take_all()])
        served.update(gone.values_list("organization_id", flat=True))
        gone.update(status="Completed")
    assert [served[organization.pk] for organization in organizations] == [6, 12, 6]


def test_a_share_leaves_what_is_known_of_rates_as_it_is(broker: MemoryBroker, organization: Organization) -> None:
    rated, plain = make_job_type(max_starts=1, max_starts_window=3600), make_job_type()
    waiting(broker, (rated, organization, 0), (plain, organization, 0))
    verbs.dispatch()
    before = EngineLease.objects.get(pk=verbs.DISPATCH_LEASE).state
    assert before["rates"]
    assert before["next_at"]
    waiting(broker, (plain, organization, 0))
    queues = frozenset(pools.all_queues())
    share = verbs.in_transaction(lambda: verbs.take_turns_share(queues, 10, lambda picked: (len(picked), ())))
    assert share is not None
    assert share[0] > 0
    after = EngineLease.objects.get(pk=verbs.DISPATCH_LEASE).state
    assert (after["rates"], after["next_at"]) == (before["rates"], before["next_at"])


def test_a_raised_limit_lets_more_go_and_a_lowered_one_takes_none_back(
    broker: MemoryBroker, organization: Organization
) -> None:
    kind = make_job_type(max_running=1)
    waiting(broker, (kind, organization, 0))
    assert queued() == {(organization.pk, 0): 1}
    type(kind).objects.filter(pk=kind.pk).update(max_running=3)
    assert queued() == {(organization.pk, 0): 3}
    type(kind).objects.filter(pk=kind.pk).update(max_running=2)
    assert queued() == {(organization.pk, 0): 3}


def test_types_at_their_rates_hold_up_no_other_type_of_their_organization(
    broker: MemoryBroker, organization: Organization
) -> None:
    """They are not walked: of an organization with many types a pass looks at some."""
    kinds = [make_job_type(max_starts=1) for _ in range(40)]
    free = make_job_type()
    waiting(broker, *((kind, organization, 0) for kind in kinds), count=2)
    for _ in range(30):
        verbs.dispatch()
    assert Job.objects.filter(status="Queued").count() == len(kinds)
    waiting(broker, (free, organization, 0), count=1)
    verbs.dispatch()
    assert Job.objects.filter(status="Queued", job_type=free).count() == 1
