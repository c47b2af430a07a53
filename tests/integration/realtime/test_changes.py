"""What is told in a room, and to whom."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from django_jobs import cancel_job, retry_job
from django_jobs.models import ExecutionLog, Organization
from tests.support import verbs
from tests.support.brokers import WORKER, end, job_in, raised, returned, running_job
from tests.support.factories import make_organization, make_system_admin, make_user
from tests.support.live import LiveClient, ManualBroadcaster, by_token, do, later_job, with_clients
from tests.support.tuning import Tuning
from tests.support.verbs import MASK, ProgressBuffer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture(autouse=True)
def no_polls(tuning: Tuning) -> None:
    """What no notification tells is not told."""
    tuning.set(hub_poll_seconds=3600.0)


@pytest.fixture
def member(organization: Organization) -> LiveClient:
    return by_token(make_user(member_of=[organization]))


@pytest.fixture
def admin() -> LiveClient:
    return by_token(make_system_admin())


def test_a_member_hears_of_the_organizations_jobs(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    @with_clients(member)
    async def scenario(client: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        job = await do(later_job, organization)
        await do(cancel_job, job)
        await broadcaster.send()
        assert await client.changes(2) == [(job.name, "Pending"), (job.name, "Canceled")]


def test_a_change_says_all_that_the_contract_names(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    job, claimed = running_job(organization=organization)

    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(f"job:{job.name}")
        await do(end, returned(claimed, {"output_reference": "a.pdf"}, "a.pdf"))
        await broadcaster.send()
        return await client.hear("job_status_changed")

    last = ExecutionLog.objects.filter(job=job).latest("id")
    job.refresh_from_db()
    assert job.started_at
    assert job.completed_at
    assert message.pop("data") == {
        "job_id": job.name,
        "job_type": job.job_type_id,
        "organization": organization.name,
        "attempt": 1,
        "from_status": "Running",
        "to_status": "Completed",
        "progress": 100,
        "progress_message": "",
        "output_reference": "a.pdf",
        "error_message": "",
        "started_at": verbs.frame_moment(job.started_at),
        "completed_at": verbs.frame_moment(job.completed_at),
        "updated_at": verbs.frame_moment(last.timestamp),
    }
    assert message == {"event": "job_status_changed", "room": f"job:{job.name}", "id": last.pk}


def test_a_failure_is_told_with_its_reason(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    job, claimed = running_job(organization=organization)

    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(f"job:{job.name}")
        await do(end, raised(claimed, "Permanent", text="no paper"))
        await broadcaster.send()
        return await client.hear("job_status_changed")

    assert message["data"]["error_message"] == "no paper"


def test_progress_is_told_as_it_is_written(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    job, claimed = running_job(organization=organization)
    buffer = ProgressBuffer(WORKER)

    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(f"job:{job.name}")
        buffer.report((claimed.pk, claimed.attempt), 40, "page 4")
        await do(buffer.flush)
        await broadcaster.send()
        return await client.hear("job_progress")

    told = message["data"]
    assert (told["job_id"], told["status"], told["progress"], told["progress_message"], told["attempt"]) == (
        job.name,
        "Running",
        40,
        "page 4",
        1,
    )


def test_progress_is_told_of_each_job_in_its_own_organizations_room(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    mine = [running_job(organization=organization) for _ in range(2)]
    theirs = running_job(organization=make_organization())
    buffer = ProgressBuffer(WORKER)
    broadcaster.forget()

    @with_clients(member)
    async def told(client: LiveClient) -> dict[str, tuple[str, int]]:
        await client.join(f"org:{organization.name}")
        for percent, (_, claimed) in enumerate([*mine, theirs], start=10):
            buffer.report((claimed.pk, claimed.attempt), percent, None)
        await do(buffer.flush)
        await broadcaster.send()
        messages = [(await client.hear())["data"] for _ in mine]
        assert await client.has_nothing()
        return {data["job_id"]: (data["job_type"], data["progress"]) for data in messages}

    assert told == {job.name: (job.job_type_id, 10 + number) for number, (job, _) in enumerate(mine)}


def test_the_latest_progress_wins(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    job, claimed = running_job(organization=organization)
    buffer = ProgressBuffer(WORKER)

    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(f"job:{job.name}")
        buffer.report((claimed.pk, claimed.attempt), 40, "page 4")
        await do(buffer.flush)
        buffer.report((claimed.pk, claimed.attempt), 100, "page 10")
        await do(buffer.flush)
        await broadcaster.send()
        message = await client.hear()
        assert await client.has_nothing()
        return message

    assert message["data"]["progress"] == 100


def test_progress_of_a_job_that_has_ended_meanwhile_is_not_told(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    (ended, first), (running, second) = (running_job(organization=organization) for _ in range(2))
    buffer = ProgressBuffer(WORKER)
    broadcaster.forget()

    @with_clients(member)
    async def told(client: LiveClient) -> list[tuple[str, str]]:
        await client.join(f"org:{organization.name}")
        for claimed in (first, second):
            buffer.report((claimed.pk, claimed.attempt), 40, None)
        await do(buffer.flush)
        await do(end, raised(first, "Permanent"))
        await broadcaster.send()
        messages = [await client.hear() for _ in range(2)]
        assert await client.has_nothing()
        return [(message["event"], message["data"]["job_id"]) for message in messages]

    assert told == [("job_status_changed", ended.name), ("job_progress", running.name)]


@pytest.mark.parametrize(("names", "told"), [((), "a.pdf"), (("output_reference",), MASK)])
def test_a_masked_output_is_told_masked(
    names: tuple[str, ...], told: str, broadcaster: ManualBroadcaster, member: LiveClient, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": names}
    job, claimed = running_job(organization=Organization.objects.get())

    @with_clients(member)
    async def message(client: LiveClient) -> dict[str, Any]:
        await client.join(f"job:{job.name}")
        await do(end, returned(claimed, {"output_reference": "a.pdf"}, "a.pdf"))
        await broadcaster.send()
        return await client.hear("job_status_changed")

    assert message["data"]["output_reference"] == told


def test_a_jobs_room_tells_of_that_job_only(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    mine, other = (later_job(organization) for _ in range(2))

    @with_clients(member)
    async def heard(client: LiveClient) -> list[tuple[str, str]]:
        await client.join(f"job:{mine.name}")
        await do(cancel_job, other)
        await do(cancel_job, mine)
        await broadcaster.send()
        return await client.changes(1)

    assert heard == [(mine.name, "Canceled")]


def test_a_jobs_events_are_told_in_order_although_one_notification_got_lost(
    broadcaster: ManualBroadcaster, organization: Organization
) -> None:
    other = make_organization()

    @with_clients(by_token(make_user(member_of=[organization, other])))
    async def heard(client: LiveClient) -> list[tuple[str, str]]:
        await client.join(f"org:{organization.name}")
        job = await do(later_job, organization)
        broadcaster.forget()
        await client.join(f"org:{other.name}")  # begins after the event whose notification is lost
        others = await do(later_job, other)
        await do(cancel_job, job)
        await broadcaster.send()
        changes = await client.changes(3)
        assert (others.name, "Pending") in changes
        return [(status, name) for name, status in changes if name == job.name]

    assert [status for status, _ in heard] == ["Pending", "Canceled"]


def test_nothing_crosses_to_another_organization(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    other = make_organization()

    @with_clients(member, by_token(make_user(member_of=[other])))
    async def scenario(client: LiveClient, stranger: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        await stranger.join(f"org:{other.name}")
        job = await do(later_job, organization)
        await broadcaster.send()
        assert await client.changes(1) == [(job.name, "Pending")]
        assert await stranger.has_nothing()


def test_a_notification_that_names_foreign_rows_tells_nothing(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    foreign = later_job()
    log = ExecutionLog.objects.get(job=foreign)

    @with_clients(member)
    async def is_silent(client: LiveClient) -> bool:
        await client.join(f"org:{organization.name}")
        broadcaster.changed([(organization.pk, log.pk, foreign.pk)])
        await broadcaster.send()
        own = await do(later_job, organization)
        await broadcaster.send()
        return await client.changes(1) == [(own.name, "Pending")]

    assert is_silent


def test_what_is_rolled_back_is_never_told(broadcaster: ManualBroadcaster, organization: Organization) -> None:
    with transaction.atomic():
        later_job(organization)
        transaction.set_rollback(True)
    assert not broadcaster.outbox


def test_system_admins_hear_of_everybodys_jobs(broadcaster: ManualBroadcaster, admin: LiveClient) -> None:
    @with_clients(admin)
    async def scenario(client: LiveClient) -> None:
        await client.join("admin:jobs")
        jobs = [await do(later_job) for _ in range(2)]
        await broadcaster.send()
        assert await client.changes(2) == [(job.name, "Pending") for job in jobs]


def test_who_is_in_two_rooms_of_a_job_hears_of_it_in_both(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    job = job_in("Dead Letter", organization=organization)
    broadcaster.forget()

    @with_clients(member)
    async def rooms(client: LiveClient) -> set[str]:
        await client.join(f"org:{organization.name}")
        await client.join(f"job:{job.name}")
        await do(retry_job, job)
        await broadcaster.send()
        return {(await client.hear())["room"] for _ in range(2)}

    assert rooms == {f"org:{organization.name}", f"job:{job.name}"}
