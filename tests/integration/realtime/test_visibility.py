"""Rooms follow ``can_view``, and a room never tells of another tenant than the one that has its id."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.brokers import pending_job
from tests.support.factories import make_organization, make_system_admin, make_user
from tests.support.live import LiveClient, ManualBroadcaster, by_token, do, later_job, with_clients
from tests.support.policies import OwnJobsOnly
from tests.support.tuning import Tuning

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def owner(organization: Organization) -> User:
    return make_user("owner", member_of=[organization])


@pytest.fixture
def colleague(organization: Organization) -> User:
    return make_user("colleague", member_of=[organization])


@pytest.fixture
def _own_jobs_only(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}


def job_of(user: User, organization: Organization) -> Job:
    """One that tells of nothing but its submission."""
    return pending_job(organization=organization, user=user, run_at=timezone.now() + dt.timedelta(days=1))


@pytest.mark.usefixtures("_own_jobs_only")
def test_an_organizations_room_tells_each_of_the_jobs_that_they_may_see(
    broadcaster: ManualBroadcaster, organization: Organization, owner: User, colleague: User
) -> None:
    room = f"org:{organization.name}"

    @with_clients(by_token(owner), by_token(colleague))
    async def heard(one: LiveClient, other: LiveClient) -> list[Any]:
        await one.join(room)
        await other.join(room)
        jobs = [await do(job_of, user, organization) for user in (owner, colleague)]
        await broadcaster.send()
        first, second = await one.hear("job_status_changed"), await other.hear("job_status_changed")
        return [jobs, first["data"]["job_id"], second["data"]["job_id"], await other.has_nothing()]

    jobs, first, second, is_silent = heard
    assert (first, second, is_silent) == (jobs[0].name, jobs[1].name, True)


@pytest.mark.usefixtures("_own_jobs_only")
def test_a_replay_leaves_out_what_the_policy_hides(
    broadcaster: ManualBroadcaster, organization: Organization, owner: User, colleague: User
) -> None:
    job_of(owner, organization)
    own = job_of(colleague, organization)
    broadcaster.forget()

    @with_clients(by_token(colleague))
    async def replayed(client: LiveClient) -> list[str]:
        await client.join(f"org:{organization.name}", since=0)
        first = await client.hear("job_status_changed")
        assert await client.has_nothing()
        return [first["data"]["job_id"]]

    assert replayed == [own.name]


def test_of_users_who_join_one_room_at_once_each_has_their_own_answer(organization: Organization, owner: User) -> None:
    stranger = make_user("stranger", member_of=[make_organization()])

    @with_clients(by_token(owner), by_token(stranger))
    async def answers(*clients: LiveClient) -> list[str]:
        found = await asyncio.gather(*(client.join(f"org:{organization.name}") for client in clients))
        return [answer["event"] for answer in found]

    assert answers == ["joined", "error"]


@pytest.mark.usefixtures("_own_jobs_only")
def test_of_users_who_join_one_room_at_once_each_has_their_own_replay(
    broadcaster: ManualBroadcaster, organization: Organization, owner: User, colleague: User
) -> None:
    jobs = [job_of(user, organization).name for user in (owner, colleague)]
    broadcaster.forget()

    @with_clients(by_token(owner), by_token(colleague))
    async def replayed(*clients: LiveClient) -> list[str]:
        await asyncio.gather(*(client.join(f"org:{organization.name}", since=0) for client in clients))
        found = [(await client.hear("job_status_changed"))["data"]["job_id"] for client in clients]
        assert [await client.has_nothing() for client in clients] == [True, True]
        return found

    assert replayed == jobs


class Switch(OwnJobsOnly):
    """Whose mind the test changes."""

    is_open: bool | None = True

    def can_view(self, user: Any, job: Any) -> bool:
        if (answer := type(self).is_open) is None:
            raise LookupError
        return answer


@pytest.fixture
def switch(settings: Any, monkeypatch: pytest.MonkeyPatch, tuning: Tuning) -> type[Switch]:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.Switch"}
    monkeypatch.setattr(Switch, "is_open", True)
    tuning.set(visibility_answer_seconds=0.0)
    return Switch


@pytest.mark.parametrize("answer", [False, None])
def test_a_jobs_room_ends_when_the_policy_hides_the_job(
    broadcaster: ManualBroadcaster,
    organization: Organization,
    owner: User,
    switch: type[Switch],
    tuning: Tuning,
    answer: bool | None,
) -> None:
    tuning.set(hub_tick_seconds=0.01, hub_recheck_seconds=0.01)
    job = job_of(owner, organization)

    @with_clients(by_token(owner))
    async def left(client: LiveClient) -> dict[str, Any]:
        assert (await client.join(f"job:{job.name}"))["event"] == "joined"
        switch.is_open = answer
        return await client.hear("left")

    assert left == {"event": "left", "room": f"job:{job.name}", "reason": "forbidden"}


def test_a_jobs_room_ends_when_the_policy_cannot_say_whose_jobs_somebody_sees(
    organization: Organization, owner: User, settings: Any, tuning: Tuning
) -> None:
    tuning.set(hub_tick_seconds=0.01, hub_recheck_seconds=0.01)
    job = job_of(owner, organization)

    @with_clients(by_token(owner))
    async def told(client: LiveClient) -> list[dict[str, Any]]:
        await client.join(f"job:{job.name}")
        settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.FailingScope"}
        return [await client.hear("left"), await client.join(f"job:{job.name}")]

    left, refused = told
    assert (left["reason"], refused["code"]) == ("forbidden", "forbidden")


def test_an_event_is_told_to_nobody_whom_the_policy_stopped_showing_the_job(
    broadcaster: ManualBroadcaster, organization: Organization, owner: User, switch: type[Switch]
) -> None:
    @with_clients(by_token(owner))
    async def is_silent(client: LiveClient) -> bool:
        await client.join(f"org:{organization.name}")
        switch.is_open = False
        await do(job_of, owner, organization)
        await broadcaster.send()
        return await client.has_nothing()

    assert is_silent


@pytest.mark.usefixtures("organization")
def test_a_policy_that_fails_hides_the_job_and_one_that_is_gone_is_hidden(
    owner: User, organization: Organization, settings: Any
) -> None:
    job = job_of(owner, organization)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.Failing"}
    assert verbs.hidden_jobs({job.pk, 0}, owner) == {job.pk, 0}


def test_the_built_in_policy_is_not_asked(
    owner: User, organization: Organization, django_db_blocker: DjangoDbBlocker
) -> None:
    job = job_of(owner, organization)
    with django_db_blocker.block():
        assert verbs.hidden_jobs({job.pk}, owner) == set()


def rename(organization: Organization, name: str) -> None:
    Organization.objects.filter(pk=organization.pk).update(name=name)


def test_who_listens_goes_on_hearing_of_a_renamed_tenant(
    broadcaster: ManualBroadcaster, organization: Organization, owner: User
) -> None:
    old = organization.name

    @with_clients(by_token(owner))
    async def told(client: LiveClient) -> dict[str, Any]:
        await client.join(f"org:{old}")
        await do(rename, organization, "RENAMED")
        await do(later_job, organization)
        await broadcaster.send()
        return await client.hear("job_status_changed")

    assert (told["room"], told["data"]["organization"]) == (f"org:{old}", "RENAMED")


@pytest.mark.parametrize("goes", ["renamed", "deleted"])
def test_a_room_that_has_changed_hands_tells_nothing_of_the_tenant_that_had_it(
    goes: str, broadcaster: ManualBroadcaster, organization: Organization
) -> None:
    old = organization.name
    admin = make_system_admin()

    def change() -> Organization:
        if goes == "renamed":
            rename(organization, "RENAMED")
        else:
            later_job(organization)
            Organization.objects.filter(pk=organization.pk).delete()
        return make_organization(name=old)

    @with_clients(by_token(admin))
    async def heard(client: LiveClient) -> list[Any]:
        await client.join(f"org:{old}")
        heir = await do(change)
        if goes == "renamed":
            await do(later_job, organization)
        await broadcaster.send()
        left = await client.hear()
        assert await client.has_nothing()
        await client.join(f"org:{old}")
        job = await do(later_job, heir)
        await broadcaster.send()
        return [left, job.name, (await client.hear("job_status_changed"))["data"]["job_id"]]

    left, job, told = heard
    assert left == {"event": "left", "room": f"org:{old}", "reason": "renamed"}
    assert told == job


def test_a_replay_of_an_id_that_changed_hands_is_the_new_tenants_alone(
    broadcaster: ManualBroadcaster, organization: Organization
) -> None:
    later_job(organization)
    old = organization.name
    rename(organization, "RENAMED")
    heir = make_organization(name=old)
    own = later_job(heir)
    broadcaster.forget()

    @with_clients(by_token(make_user(member_of=[heir])))
    async def told(client: LiveClient) -> dict[str, Any]:
        await client.join(f"org:{old}", since=0)
        first = await client.hear("job_status_changed")
        assert await client.has_nothing()
        return first

    assert told["data"]["job_id"] == own.name
