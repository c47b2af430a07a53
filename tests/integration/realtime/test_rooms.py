"""Which rooms are open to whom, and until when."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from django.contrib.auth.models import User

from django_jobs import cancel_job, submit_job
from django_jobs.models import Membership, Organization
from tests.support.brokers import end, returned, running_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.live import LiveClient, ManualBroadcaster, by_token, do, later_job, with_clients
from tests.support.tuning import Tuning

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def member(organization: Organization) -> LiveClient:
    return by_token(make_user(member_of=[organization]))


@pytest.fixture
def admin() -> LiveClient:
    return by_token(make_system_admin())


@pytest.fixture
def quick_rechecks(tuning: Tuning) -> None:
    tuning.set(hub_tick_seconds=0.01, hub_recheck_seconds=0.01)


REFUSED: Final[dict[Any, str]] = {
    "admin:jobs": "forbidden",
    "admin:batches": "not_found",
    "org:ORG-1999-00001": "not_found",
    "job:JOB-1999-00001": "not_found",
    "job:nonsense": "not_found",
    "nonsense": "not_found",
    "org:": "not_found",
    "": "not_found",
    "org:a\0b": "not_found",
    "org:\ud800": "not_found",
    None: "bad_request",
    5: "bad_request",
    "x" * 500: "bad_request",
}


def test_a_room_that_is_none_for_this_user_is_refused(member: LiveClient) -> None:
    @with_clients(member)
    async def answers(client: LiveClient) -> dict[Any, dict[str, Any]]:
        return {room: await client.join(room) for room in REFUSED}

    assert {room: answer["code"] for room, answer in answers.items() if answer["event"] == "error"} == REFUSED
    assert (answers["nonsense"]["room"], answers["x" * 500]["room"]) == ("nonsense", None)


def test_foreign_rooms_and_unknown_ones_are_not_told_apart(member: LiveClient) -> None:
    foreign = later_job()

    @with_clients(member)
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        rooms = [f"job:{foreign.name}", "job:JOB-1999-00001", f"org:{foreign.organization_name}", "org:nobody"]
        return [await client.join(room) for room in rooms]

    assert {answer["code"] for answer in answers} == {"not_found"}
    assert len({answer["detail"] for answer in answers}) == 1


def test_who_leaves_a_room_hears_no_more_of_it(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    @with_clients(member)
    async def is_silent(client: LiveClient) -> bool:
        await client.join(f"org:{organization.name}")
        await client.say({"action": "leave", "room": f"org:{organization.name}"})
        assert await client.hear() == {"event": "left", "room": f"org:{organization.name}"}
        await do(later_job, organization)
        await broadcaster.send()
        return await client.has_nothing()

    assert is_silent


def test_a_suspended_organizations_room_is_forbidden(organization: Organization, member: LiveClient) -> None:
    Organization.objects.update(is_active=False)

    @with_clients(member)
    async def answer(client: LiveClient) -> dict[str, Any]:
        return await client.join(f"org:{organization.name}")

    assert (answer["event"], answer["code"]) == ("error", "forbidden")


def test_a_suspended_organizations_outputs_are_withheld_and_another_ones_are_not(
    broadcaster: ManualBroadcaster, organization: Organization, admin: LiveClient
) -> None:
    suspended, active = running_job(organization=organization), running_job(organization=make_organization())
    Organization.objects.filter(pk=organization.pk).update(is_active=False)
    broadcaster.forget()

    @with_clients(admin)
    async def told(client: LiveClient) -> dict[str, Any]:
        await client.join("admin:jobs")
        for _, claimed in (suspended, active):
            await do(end, returned(claimed, {"pages": 1}, f"{claimed.job_id}.pdf"))
        await broadcaster.send()
        messages = [(await client.hear("job_status_changed"))["data"] for _ in range(2)]
        return {data["job_id"]: (data["to_status"], data["output_reference"]) for data in messages}

    withheld, shown = suspended[0].name, active[0].name
    assert told == {withheld: ("Completed", None), shown: ("Completed", f"{shown}.pdf")}


@pytest.mark.usefixtures("quick_rechecks")
def test_a_removed_member_is_put_out_of_the_room(organization: Organization, member: LiveClient) -> None:
    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(f"org:{organization.name}")
        await do(Membership.objects.all().delete)
        return await client.hear()

    assert message == {"event": "left", "room": f"org:{organization.name}", "reason": "forbidden"}


@pytest.mark.usefixtures("quick_rechecks")
def test_of_two_who_listen_the_one_who_was_removed_is_put_out(organization: Organization, member: LiveClient) -> None:
    user = make_user(member_of=[organization])
    room = f"org:{organization.name}"

    @with_clients(by_token(user), member)
    async def message(gone: LiveClient, other: LiveClient) -> dict[str, Any]:
        for client in (gone, other):
            await client.join(room)
        await do(Membership.objects.filter(user=user).delete)
        left = await gone.hear()
        await asyncio.sleep(0.1)  # some rechecks
        assert await other.has_nothing()
        return left

    assert message == {"event": "left", "room": room, "reason": "forbidden"}


@pytest.mark.usefixtures("quick_rechecks")
def test_who_is_no_system_admin_any_more_hears_no_more_of_all(admin: LiveClient) -> None:
    @with_clients(admin)
    async def message(client: LiveClient) -> dict[str, Any]:
        assert (await client.join("admin:jobs"))["event"] == "joined"
        await do(User.user_permissions.through.objects.all().delete)
        return await client.hear()

    assert message == {"event": "left", "room": "admin:jobs", "reason": "forbidden"}


@pytest.mark.usefixtures("quick_rechecks")
def test_who_is_removed_from_one_of_two_organizations_hears_only_the_other_one(
    broadcaster: ManualBroadcaster, organization: Organization
) -> None:
    other = make_organization()
    user = make_user(member_of=[organization, other])
    gone, kept = later_job(organization), later_job(other)
    rooms = [f"org:{organization.name}", f"job:{gone.name}", f"org:{other.name}", f"job:{kept.name}"]
    broadcaster.forget()

    @with_clients(by_token(user))
    async def heard(client: LiveClient) -> tuple[set[str], list[tuple[str, str]]]:
        for room in rooms:
            assert (await client.join(room))["event"] == "joined"
        await do(Membership.objects.filter(organization=organization).delete)
        left = {(await client.hear("left"))["room"] for _ in range(2)}
        await do(cancel_job, gone)
        await do(cancel_job, kept)
        await broadcaster.send()
        changes = await client.changes(2)
        assert await client.has_nothing()
        return left, changes

    assert heard == (set(rooms[:2]), [(kept.name, "Canceled")] * 2)


@pytest.mark.usefixtures("quick_rechecks")
def test_a_suspension_puts_members_out_of_its_jobs_rooms(organization: Organization, member: LiveClient) -> None:
    job = later_job(organization)

    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(f"job:{job.name}")
        await do(Organization.objects.update, is_active=False)
        return await client.hear()

    assert message == {"event": "left", "room": f"job:{job.name}", "reason": "forbidden"}


def test_the_room_of_the_system_organization_is_for_system_admins(settings: Any, organization: Organization) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": "SYSTEM"}
    job = submit_job(make_job_type(), None)
    member = by_token(make_user(member_of=[organization, job.organization]))

    @with_clients(member, by_token(make_system_admin()))
    async def answers(insider: LiveClient, admin: LiveClient) -> list[str]:
        rooms = ("org:SYSTEM", f"job:{job.name}")
        return [(await client.join(room))["event"] for client in (insider, admin) for room in rooms]

    assert answers == ["error", "error", "joined", "joined"]
