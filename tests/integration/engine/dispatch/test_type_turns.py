"""Who gets the next place of a type, whatever other types do in between."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import pytest

from django_jobs import AccessPolicy
from django_jobs.models import EngineLease, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, MemoryBroker, pending_jobs
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import TYPE_TURNS_OF


class Double(AccessPolicy):
    """Gives one organization twice as much as the others."""

    pk: ClassVar[Any] = None

    def weight(self, organization: Any) -> float:
        return 2.0 if organization.pk == self.pk else 1.0


@pytest.fixture(autouse=True)
def _room(broker: MemoryBroker) -> None:
    """Room for a hundred jobs: no other limit than the types' keeps a job waiting."""
    verbs.announce_worker("a-worker", ALL_QUEUES, slots=100)


@pytest.fixture
def organizations() -> list[Organization]:
    return [make_organization() for _ in range(4)]


def wait(broker: MemoryBroker, kind: JobType, organizations: list[Organization], count: int = 30) -> None:
    """So many jobs of each, which nobody has dispatched yet."""
    broker.is_down = True
    for organization in organizations:
        pending_jobs(kind, organization, count)
    broker.is_down = False


def served(kind: JobType, busy: JobType, times: int) -> Counter[Any]:
    """Who gets the places of a type, which become free one after the other, each after one of a busy type."""
    found: Counter[Any] = Counter()
    for _ in range(times):
        for of in (busy, kind):
            gone = Job.objects.filter(job_type=of, status="Queued")
            found.update(gone.values_list("organization_id", flat=True) if of == kind else ())
            gone.update(status="Completed")
            verbs.dispatch()
    return found


def test_places_go_around_whoever_another_type_serves_in_between(
    broker: MemoryBroker, organizations: list[Organization]
) -> None:
    kind, busy = make_job_type(max_running=1), make_job_type(max_running=1)
    wait(broker, kind, organizations)
    wait(broker, busy, organizations[1:2])
    found = served(kind, busy, 25)
    assert sorted(found) == [organization.pk for organization in organizations]
    assert max(found.values()) - min(found.values()) <= 1


def test_places_go_by_weight(broker: MemoryBroker, organizations: list[Organization], settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.Double"}
    Double.pk = organizations[0].pk
    verbs.forget_tenant_shares()
    kind, busy = make_job_type(max_running=2), make_job_type(max_running=1)
    wait(broker, kind, organizations)
    wait(broker, busy, organizations[1:2])
    found = served(kind, busy, 26)
    due = [found.total() * part for part in (0.4, 0.2, 0.2, 0.2)]
    got = [found[organization.pk] for organization in organizations]
    assert all(abs(number - share) <= 1 for number, share in zip(got, due, strict=True)), (got, due)


def test_an_organization_at_its_own_limit_keeps_no_place_from_others(
    broker: MemoryBroker, organizations: list[Organization]
) -> None:
    kind = make_job_type(max_running=5, max_running_per_organization=2)
    wait(broker, kind, organizations[:3])
    verbs.dispatch()
    of_each = Counter(Job.objects.filter(status="Queued").values_list("organization_id", flat=True))
    assert sorted(of_each.values()) == [1, 2, 2]
    Job.objects.filter(status="Queued", organization=organizations[0]).update(status="Completed")
    verbs.dispatch()
    assert Job.objects.filter(status="Queued").count() == 5


def test_keys_that_are_full_take_nobodys_turn(broker: MemoryBroker, organizations: list[Organization]) -> None:
    kind = make_job_type(max_running=4, concurrency_key="account")
    wait(broker, kind, organizations[:2], count=3)  # all of one key each
    verbs.dispatch()
    assert Job.objects.filter(status="Queued").count() == 2
    wait(broker, kind, organizations[2:], count=3)
    verbs.dispatch()
    assert Job.objects.filter(status="Queued").count() == 4


@pytest.mark.parametrize("kept", ["no key", "99999999", None], ids=["a text", "one that is gone", "nothing"])
def test_a_lost_cursor_only_starts_the_round_again(
    broker: MemoryBroker, organizations: list[Organization], kept: Any
) -> None:
    kind, busy = make_job_type(max_running=1), make_job_type(max_running=1)
    wait(broker, kind, organizations)
    wait(broker, busy, organizations[1:2])
    served(kind, busy, 2)
    row = EngineLease.objects.get(pk=verbs.DISPATCH_LEASE)
    name = next(name for name in row.state["cursors"] if name.endswith(f"{TYPE_TURNS_OF}{kind.pk}"))
    row.state["cursors"][name] = kept
    row.save()
    assert max(served(kind, busy, 4).values()) <= 2


def test_nothing_is_kept_of_types_without_limits(broker: MemoryBroker, organizations: list[Organization]) -> None:
    kind, other = make_job_type(max_running=1), make_job_type(max_running=1)
    for of in (kind, other):
        wait(broker, of, organizations)
    verbs.dispatch()
    assert len(names()) == 2
    JobType.objects.filter(pk=other.pk).update(max_running=None)
    Job.objects.filter(job_type=kind, status="Queued").update(status="Completed")
    verbs.dispatch()
    assert [name.partition(TYPE_TURNS_OF)[2] for name in names()] == [kind.pk]


def test_turns_follow_each_other_whoever_is_picked_first(
    broker: MemoryBroker, organizations: list[Organization]
) -> None:
    """Where another type's turns begin elsewhere, the places of one pass are taken in another order than granted."""
    kind, busy = make_job_type(max_running=3), make_job_type(max_running=1)
    wait(broker, kind, organizations)
    wait(broker, busy, organizations[2:3])
    found = served(kind, busy, 20)
    assert max(found.values()) - min(found.values()) <= 1


def test_on_small_pages_nobody_waits_for_ever(broker: MemoryBroker) -> None:
    verbs.withdraw_worker("a-worker")
    verbs.announce_worker("a-worker", ALL_QUEUES, slots=2)
    kind, organizations = make_job_type(max_running=1), [make_organization() for _ in range(8)]
    wait(broker, kind, organizations, 6)
    found: Counter[Any] = Counter()
    for _ in range(32):
        verbs.dispatch()
        gone = Job.objects.filter(job_type=kind, status="Queued")
        found.update(gone.values_list("organization_id", flat=True))
        gone.update(status="Completed")
        broker.take_all()
    assert found == {organization.pk: 4 for organization in organizations}


def test_an_organization_that_may_start_few_more_leaves_its_places_to_others(
    broker: MemoryBroker, organizations: list[Organization], settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 11}
    kind, other = make_job_type(max_running=10), make_job_type()
    wait(broker, other, organizations[:1], 10)
    verbs.dispatch()
    wait(broker, kind, organizations[:2], 10)
    verbs.dispatch()
    of_each = Counter(Job.objects.filter(job_type=kind, status="Queued").values_list("organization_id", flat=True))
    assert of_each == {organizations[0].pk: 1, organizations[1].pk: 9}


def names() -> list[str]:
    cursors = EngineLease.objects.get(pk=verbs.DISPATCH_LEASE).state["cursors"]
    return [name for name in cursors if TYPE_TURNS_OF in name]
