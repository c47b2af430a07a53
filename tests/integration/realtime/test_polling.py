"""What notifications did not tell of: polls of the log find it, and too much of it becomes an advice."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import transaction

from django_jobs.models import ExecutionLog, Job, Organization
from tests.support import verbs
from tests.support.brokers import WORKER, running_job
from tests.support.factories import make_system_admin, make_user
from tests.support.live import LiveClient, ManualBroadcaster, by_token, do, later_job, with_clients
from tests.support.tuning import Tuning
from tests.support.verbs import MESSAGE_TYPE, EventWatermark, Interpose, ProgressBuffer, RealtimeEvent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def member(organization: Organization) -> LiveClient:
    return by_token(make_user(member_of=[organization]))


@pytest.fixture
def admin() -> LiveClient:
    return by_token(make_system_admin())


@pytest.fixture
def quick_polls(tuning: Tuning) -> None:
    tuning.set(hub_tick_seconds=0.01, hub_poll_seconds=0.01)


@pytest.mark.usefixtures("quick_polls")
def test_what_a_layer_loses_is_found_by_a_poll(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    @with_clients(member)
    async def scenario(client: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        job = await do(later_job, organization)
        assert await client.changes(1) == [(job.name, "Pending")]


@pytest.mark.usefixtures("quick_polls", "broadcaster")
def test_a_poll_begins_where_the_one_before_ended(
    organization: Organization, member: LiveClient, interpose: Interpose
) -> None:
    begun: list[EventWatermark] = []
    ended: list[EventWatermark] = []
    poll = verbs.poll_events

    def recorded(organization_pk: Any, watermark: EventWatermark) -> tuple[list[int], EventWatermark]:
        found, new = poll(organization_pk, watermark)
        begun.append(watermark)
        ended.append(new)
        return found, new

    interpose("poll_events", recorded)

    @with_clients(member)
    async def scenario(client: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        for _ in range(2):
            await do(later_job, organization)
            await client.changes(1)

    assert len(begun) > 1
    assert begun[1:] == ended[:-1]


@pytest.mark.usefixtures("quick_polls", "broadcaster")
def test_each_organization_has_its_turn_however_many_are_due(tuning: Tuning) -> None:
    tuning.set(hub_topics_a_tick=1, hub_poll_seconds=0.0)
    organizations = [Organization.objects.create() for _ in range(3)]

    @with_clients(by_token(make_user(member_of=organizations)))
    async def scenario(client: LiveClient) -> None:
        for organization in organizations:
            await client.join(f"org:{organization.name}")
        job = await do(later_job, organizations[-1])
        assert await client.changes(1) == [(job.name, "Pending")]


@pytest.mark.usefixtures("quick_polls", "broadcaster")
def test_events_that_could_not_be_read_are_told_by_the_next_poll(
    organization: Organization, member: LiveClient, interpose: Interpose
) -> None:
    failures, read = [ZeroDivisionError()], verbs.status_events

    def fail_once(log_ids: Collection[int]) -> list[RealtimeEvent]:
        if log_ids and failures:
            raise failures.pop()
        return read(log_ids)

    @with_clients(member)
    async def scenario(client: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        interpose("status_events", fail_once)
        job = await do(later_job, organization)
        assert await client.changes(1) == [(job.name, "Pending")]

    assert not failures


def test_a_flood_makes_the_hub_poll_at_once(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient, tuning: Tuning
) -> None:
    tuning.set(hub_tick_seconds=0.01, broadcast_listed_changes=0)

    @with_clients(member)
    async def scenario(client: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        job = await do(later_job, organization)
        await broadcaster.send()
        assert await client.changes(1) == [(job.name, "Pending")]


@pytest.mark.usefixtures("quick_polls")
def test_everybodys_room_is_polled_too(broadcaster: ManualBroadcaster, admin: LiveClient) -> None:
    @with_clients(admin)
    async def scenario(client: LiveClient) -> None:
        await client.join("admin:jobs")
        job = await do(later_job)
        assert await client.changes(1) == [(job.name, "Pending")]


@pytest.mark.usefixtures("quick_polls")
def test_progress_that_a_layer_lost_is_found_by_a_poll(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    job, claimed = running_job(organization=organization)
    buffer = ProgressBuffer(WORKER)

    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(f"job:{job.name}")
        buffer.report((claimed.pk, claimed.attempt), 70, None)
        await do(buffer.flush)
        return await client.hear("job_progress")

    assert message["data"]["progress"] == 70


@pytest.mark.usefixtures("quick_polls", "broadcaster")
def test_a_poll_tells_the_progress_of_those_jobs_only_that_went_on(
    organization: Organization, admin: LiveClient
) -> None:
    (slow, first), (fast, second) = (running_job(organization=organization) for _ in range(2))
    buffer, other = ProgressBuffer(WORKER), Organization.objects.create()

    @with_clients(admin)
    async def told(client: LiveClient) -> list[tuple[str, int]]:
        for tenant in (organization, other):
            await client.join(f"org:{tenant.name}")
        heard = []
        for claimed, percent in ((first, 10), (second, 20), (second, 30), (second, 40)):
            buffer.report((claimed.pk, claimed.attempt), percent, None)
            await do(buffer.flush)
            heard.append((await client.hear("job_progress"))["data"])
        assert await client.has_nothing()
        return [(data["job_id"], data["progress"]) for data in heard]

    assert told == [(slow.name, 10), (fast.name, 20), (fast.name, 30), (fast.name, 40)]


def test_after_a_notification_that_could_not_be_read_the_hub_polls_at_once(
    broadcaster: ManualBroadcaster,
    organization: Organization,
    member: LiveClient,
    monkeypatch: pytest.MonkeyPatch,
    interpose: Interpose,
    tuning: Tuning,
) -> None:
    tuning.set(hub_tick_seconds=0.01)
    monkeypatch.setattr("random.random", lambda: 0.0)
    monkeypatch.setattr("random.uniform", max)
    failures, read = [ZeroDivisionError()], verbs.status_events

    def fail_once(log_ids: Collection[int]) -> list[RealtimeEvent]:
        if log_ids and failures:
            raise failures.pop()
        return read(log_ids)

    @with_clients(member)
    async def scenario(client: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        interpose("status_events", fail_once)
        job = await do(later_job, organization)
        await broadcaster.send()
        assert await client.changes(1) == [(job.name, "Pending")]

    assert not failures


@pytest.mark.usefixtures("quick_polls")
def test_a_poll_repeats_nothing(broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient) -> None:
    @with_clients(member)
    async def scenario(client: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        jobs = []
        for _ in range(5):
            jobs.append(await do(later_job, organization))
            await broadcaster.send()
            await client.hear()
        assert await client.has_nothing()


def test_more_new_events_than_anybody_wants_become_one_advice(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient, tuning: Tuning
) -> None:
    tuning.set(hub_new_events=2)

    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(f"org:{organization.name}")
        for _ in range(3):
            await do(later_job, organization)
        await broadcaster.send()
        return await client.hear()

    last = ExecutionLog.objects.latest("id").pk
    assert message == {"event": "joined", "room": f"org:{organization.name}", "cursor": last, "resync": True}


def test_ids_that_only_a_message_of_the_layer_names_hide_no_event_and_become_no_cursor(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient, tuning: Tuning
) -> None:
    tuning.set(hub_tick_seconds=0.01, hub_new_events=2)
    group = verbs.group_of(organization.pk)

    @with_clients(member)
    async def scenario(client: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        for number in range(3):
            job = await do(later_job, organization)
            await broadcaster.send()
            message = await client.hear()
            assert (message["event"], message["data"]["job_id"]) == ("job_status_changed", job.name), number
            forged = [[message["id"] + later, job.pk] for later in range(1, 100)]
            layer = get_channel_layer()
            assert layer is not None
            await layer.group_send(group, {"type": MESSAGE_TYPE, "changes": {str(organization.pk): forged}})


@pytest.mark.usefixtures("quick_polls", "broadcaster")
def test_what_is_too_much_for_everybodys_room_is_told_to_each_organization_that_has_few_of_it(
    organization: Organization, member: LiveClient, admin: LiveClient, tuning: Tuning
) -> None:
    tuning.set(hub_new_events=2)
    other = Organization.objects.create()

    def submit_four() -> Job:
        with transaction.atomic():
            for _ in range(3):
                later_job(other)
            return later_job(organization)

    @with_clients(admin, member)
    async def scenario(everybody: LiveClient, client: LiveClient) -> None:
        await everybody.join("admin:jobs")
        await client.join(f"org:{organization.name}")
        job = await do(submit_four)
        assert (await everybody.hear("joined"))["resync"] is True
        assert await client.changes(1) == [(job.name, "Pending")]


@pytest.mark.usefixtures("quick_polls", "broadcaster")
def test_what_is_too_much_for_an_organizations_room_is_told_to_everybodys_too(
    organization: Organization, member: LiveClient, admin: LiveClient, tuning: Tuning
) -> None:
    tuning.set(hub_new_events=2)

    def submit_three() -> None:
        with transaction.atomic():
            for _ in range(3):
                later_job(organization)

    @with_clients(member, admin)
    async def scenario(client: LiveClient, everybody: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        await everybody.join("admin:jobs")
        await do(submit_three)
        for listener in (client, everybody):
            assert (await listener.hear())["resync"] is True
            assert await listener.has_nothing()
