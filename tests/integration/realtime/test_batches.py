"""The room of a batch: what it tells, to whom, how often, and that nothing is lost for good."""

from __future__ import annotations

import itertools
from typing import Any
from unittest.mock import Mock

import pytest
from rest_framework.test import APIClient

from django_jobs import create_batch, get_batch_status
from django_jobs.models import Batch, JobType, Membership, Organization
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.batches import make_batch, tick
from tests.support.factories import make_organization, make_system_admin, make_user
from tests.support.live import LiveClient, ManualBroadcaster, by_token, do, with_clients
from tests.support.tuning import Tuning
from tests.support.verbs import BATCH_EVENT, Hub, Interpose, PendingEvents

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def user(organization: Organization) -> Any:
    return make_user(member_of=[organization])


@pytest.fixture
def member(user: Any) -> LiveClient:
    return by_token(user)


@pytest.fixture
def quick_polls(tuning: Tuning) -> None:
    tuning.set(hub_tick_seconds=0.01, hub_poll_seconds=0.01, hub_recheck_seconds=0.01)


def room_of(batch: Batch) -> str:
    return f"batch:{batch.batch_id}"


def run_and_count() -> None:
    """The jobs run, and what the process may have put off is counted."""
    run_jobs()
    tick()


def test_who_joins_is_told_what_rest_tells(organization: Organization, user: Any, member: LiveClient) -> None:
    batch = make_batch(organization, "Completed", "Dead Letter", name="Invoices")
    run_and_count()

    @with_clients(member)
    async def answer(client: LiveClient) -> dict[str, Any]:
        return await client.join(room_of(batch), since=5)

    rest = APIClient()
    rest.force_authenticate(user)
    assert (answer["event"], answer["cursor"]) == ("joined", 0)
    assert answer["data"] == rest.get(f"/api/batches/{batch.batch_id}/").json()
    assert answer["updated_at"] > answer["data"]["created_at"]


def test_its_end_is_told(broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient) -> None:
    batch = make_batch(organization, "Completed")
    broadcaster.forget()

    @with_clients(member)
    async def told(client: LiveClient) -> dict[str, Any]:
        await client.join(room_of(batch))
        await do(run_and_count)
        await broadcaster.send()
        return await client.hear()

    status = get_batch_status(batch)
    assert (told["event"], told["room"]) == ("batch_progress", room_of(batch))
    assert told["data"].keys() == status.as_dict().keys()
    assert (told["data"]["state"], told["data"]["progress"]) == ("Completed", 100)
    assert told["data"]["by_status"] == status.by_status


def test_nobody_else_hears_of_it(
    broadcaster: ManualBroadcaster, organization: Organization, kind: JobType, user: Any
) -> None:
    """Neither another batch's room, nor the organization's, nor everybody's."""
    batch, other = create_batch(organization), create_batch(organization)
    rooms = [room_of(other), f"org:{organization.name}", "admin:jobs"]
    broadcaster.forget()

    @with_clients(by_token(make_system_admin()), by_token(user))
    async def is_silent(client: LiveClient, listener: LiveClient) -> bool:
        for room in rooms:
            assert (await client.join(room))["event"] == "joined"
        await listener.join(room_of(batch))
        await do(batch.close)
        await broadcaster.send()
        assert (await listener.hear())["event"] == "batch_progress"
        return await client.has_nothing()

    assert is_silent


def test_a_batchs_room_hears_of_no_job(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    batch = make_batch(organization, "Completed")
    broadcaster.forget()

    @with_clients(member)
    async def heard(client: LiveClient) -> set[str]:
        await client.join(room_of(batch))
        await do(run_and_count)
        await broadcaster.send()
        return {(await client.hear())["event"], "nothing" if await client.has_nothing() else "more"}

    assert heard == {"batch_progress", "nothing"}


def test_foreign_batches_and_unknown_ones_are_not_told_apart(member: LiveClient) -> None:
    foreign = create_batch(make_organization())

    @with_clients(member)
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        rooms = [room_of(foreign), "batch:BATCH-1999-00001", "batch:nonsense"]
        return [await client.join(room) for room in rooms]

    assert {answer["code"] for answer in answers} == {"not_found"}
    assert len({answer["detail"] for answer in answers}) == 1


def test_one_of_a_suspended_organization_is_forbidden(organization: Organization, member: LiveClient) -> None:
    batch = create_batch(organization)
    Organization.objects.update(is_active=False)

    @with_clients(member)
    async def answer(client: LiveClient) -> dict[str, Any]:
        return await client.join(room_of(batch))

    assert answer["code"] == "forbidden"


def test_one_that_is_gone_before_its_state_is_read_is_not_found(
    organization: Organization, member: LiveClient, interpose: Interpose
) -> None:
    interpose("describe_batch", Mock(return_value=None))
    batch = create_batch(organization)

    @with_clients(member)
    async def answer(client: LiveClient) -> dict[str, Any]:
        return await client.join(room_of(batch))

    assert answer["code"] == "not_found"


@pytest.mark.usefixtures("quick_polls")
def test_a_removed_member_is_put_out_of_it(organization: Organization, member: LiveClient) -> None:
    batch = create_batch(organization)

    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(room_of(batch))
        await do(Membership.objects.all().delete)
        return await client.hear("left")

    assert message == {"event": "left", "room": room_of(batch), "reason": "forbidden"}


def test_batches_count_against_the_limit_of_rooms(
    organization: Organization, member: LiveClient, tuning: Tuning
) -> None:
    tuning.set(rooms_of_a_connection=1)
    batches = [create_batch(organization) for _ in range(2)]

    @with_clients(member)
    async def answers(client: LiveClient) -> list[str]:
        return [(await client.join(room_of(batch)))["event"] for batch in batches]

    assert answers == ["joined", "error"]


@pytest.mark.usefixtures("quick_polls")
def test_what_no_notification_told_of_is_found_by_a_poll(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    batch = make_batch(organization, "Completed")

    @with_clients(member)
    async def told(client: LiveClient) -> dict[str, Any]:
        await client.join(room_of(batch))
        await do(run_and_count)
        broadcaster.forget()
        while (message := await client.hear("batch_progress"))["data"]["state"] != "Completed":
            pass
        assert await client.has_nothing()
        return message

    assert told["data"]["progress"] == 100


def test_many_changes_in_a_short_time_are_told_twice_a_second_and_the_last_is_told(
    broadcaster: ManualBroadcaster,
    organization: Organization,
    kind: JobType,
    member: LiveClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = create_batch(organization)
    #: When the batch was read. When the client hears of it depends on how fast the machine is.
    moments: list[float] = []
    take = PendingEvents.take

    def noted(self: PendingEvents) -> Any:
        changes, pending = take(self)
        if batch.pk in pending.get(BATCH_EVENT, ()):
            moments.append(self._taken[batch.pk])
        return changes, pending

    monkeypatch.setattr(PendingEvents, "take", noted)

    @with_clients(member)
    async def told(client: LiveClient) -> list[int]:
        await client.join(room_of(batch))
        found: list[int] = []
        for _ in range(3):
            await do(batch.submit, kind)
            broadcaster.updated("batch", {batch.pk: organization.pk})
            await broadcaster.send()
        while not found or found[-1] < 3:
            found.append((await client.hear("batch_progress"))["data"]["total"])
        return found

    pauses = [late - early for early, late in itertools.pairwise(moments)]
    assert moments
    assert all(pause >= verbs.BATCH_PAUSE for pause in pauses)
    assert len(told) <= 1 + len(moments)  # and the state that it is told when it joins
    assert told[-1] == 3


def test_what_comes_while_a_client_joins_is_not_sent_but_read_anew(
    organization: Organization, member: LiveClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be older than the state that the client is told."""
    batch = create_batch(organization)
    subscribe = Hub.subscribe

    async def with_an_event(self: Hub, subscriber: Any, target: Any) -> Any:
        subscription = await subscribe(self, subscriber, target)
        subscription.deliver(0, '{"event": "old"}')
        return subscription

    monkeypatch.setattr(Hub, "subscribe", with_an_event)

    @with_clients(member)
    async def told(client: LiveClient) -> list[str]:
        return [(await client.join(room_of(batch)))["event"], (await client.hear())["event"]]

    assert told == ["joined", "batch_progress"]


def test_a_client_that_is_too_slow_is_sent_the_state_anew(
    organization: Organization, kind: JobType, member: LiveClient, tuning: Tuning
) -> None:
    tuning.set(outbox_frames=0)  # each frame finds the outbox full
    batch = create_batch(organization)

    @with_clients(member)
    async def told(client: LiveClient) -> dict[str, Any]:
        await client.join(room_of(batch))
        await do(batch.submit, kind)
        await client.say({"action": "ping"})
        # The state may first be sent as it was when the client joined.
        while (message := await client.hear("batch_progress"))["data"]["total"] != 1:
            pass
        return message

    assert told["data"]["total"] == 1
