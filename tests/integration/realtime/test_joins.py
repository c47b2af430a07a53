"""What a client that comes late is told, and how much of it fits into a frame."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from django_jobs.exceptions import PolicyFailed
from django_jobs.models import ExecutionLog, Job, Organization
from tests.support import verbs
from tests.support.brokers import WORKER, end, job_in, raised, returned, running_job
from tests.support.factories import make_system_admin, make_user
from tests.support.live import LiveClient, ManualBroadcaster, by_token, do, later_job, with_clients
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, ProgressBuffer, RoomTarget

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

MAX_BYTES = 65_536


@pytest.fixture
def user(organization: Organization) -> Any:
    return make_user(member_of=[organization])


@pytest.fixture
def member(user: Any) -> LiveClient:
    return by_token(user)


def joined(client: LiveClient, room: str) -> dict[str, Any]:
    @with_clients(client)
    async def answer(client: LiveClient) -> dict[str, Any]:
        return await client.join(room)

    return answer


@pytest.mark.parametrize("status", ["Pending", "Running", "Completed", "Failed", "Dead Letter", "Canceled"])
def test_who_joins_a_job_late_is_told_what_rest_tells(
    organization: Organization, user: Any, member: LiveClient, status: str
) -> None:
    job = job_in(status, organization=organization)
    rest = APIClient()
    rest.force_authenticate(user)

    answer = joined(member, f"job:{job.name}")

    told = rest.get(f"/api/jobs/{job.name}/").json()
    assert answer["data"] == {name: told[name] for name in told.keys() - {"waiting_reason"}}
    assert answer["cursor"] == ExecutionLog.objects.filter(job=job).latest("id").pk


def test_a_suspended_organizations_result_is_withheld(organization: Organization) -> None:
    job, claimed = running_job(organization=organization)
    end(returned(claimed, {"output_reference": "a.pdf"}, "a.pdf"))
    Organization.objects.update(is_active=False)

    data = joined(by_token(make_system_admin()), f"job:{job.name}")["data"]

    assert (data["status"], data["result"], data["output_reference"]) == ("Completed", None, None)


def test_a_sensitive_result_is_told_to_those_who_may_read_it(
    organization: Organization, member: LiveClient, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password",)}
    job, claimed = running_job(organization=organization)
    end(returned(claimed, {"password": "hush"}))
    root = by_token(make_user(is_superuser=True))
    told = [joined(client, f"job:{job.name}")["data"]["result"] for client in (member, root)]
    assert told == [{"password": "********"}, {"password": "hush"}]


def test_a_policy_that_fails_while_the_state_is_read_refuses_the_join(
    organization: Organization, member: LiveClient, interpose: Interpose, tuning: Tuning
) -> None:
    tuning.set(rooms_of_a_connection=1)
    job = job_in("Pending", organization=organization)

    def fail(*args: Any, **options: Any) -> Any:
        raise PolicyFailed(ZeroDivisionError())

    interpose("describe_job", fail)

    @with_clients(member)
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        return [await client.join(room) for room in (f"job:{job.name}", f"org:{organization.name}")]

    assert [answer.get("code", answer["event"]) for answer in answers] == ["forbidden", "joined"]


def test_an_organizations_room_has_no_state(organization: Organization, member: LiveClient) -> None:
    later_job(organization)
    assert "data" not in joined(member, f"org:{organization.name}")


def test_a_state_that_moves_on_while_it_is_read_is_read_again(
    organization: Organization, member: LiveClient, interpose: Interpose
) -> None:
    job, claimed = running_job(organization=organization)
    describe, left = verbs.describe_job, [claimed]

    def move_on(*args: Any, **options: Any) -> Any:
        found = describe(*args, **options)
        if left:
            end(returned(left.pop()))
        return found

    interpose("describe_job", move_on)

    answer = joined(member, f"job:{job.name}")

    assert answer["data"]["status"] == "Completed"
    assert answer["cursor"] == ExecutionLog.objects.filter(job=job).latest("id").pk


def test_a_result_that_fits_into_no_frame_is_left_out_and_named(organization: Organization, member: LiveClient) -> None:
    job, claimed = running_job(organization=organization)
    end(returned(claimed, {"rows": ["x" * 1_000] * 100}))

    answer = joined(member, f"job:{job.name}")

    assert (answer["data"]["result"], answer["cut"]) == (None, ["result"])
    assert len(json.dumps(answer)) <= MAX_BYTES


def test_a_result_is_told_as_it_was_returned(organization: Organization, member: LiveClient) -> None:
    job, claimed = running_job(organization=organization)
    result = {"rows": [1, None, "é"], "text": "x" * 50_000}
    end(returned(claimed, result))

    answer = joined(member, f"job:{job.name}")

    assert (answer["data"]["result"], "cut" in answer) == (result, False)


def test_a_result_that_fits_into_no_frame_is_not_even_read(organization: Organization) -> None:
    user = make_user(member_of=[organization])
    job, claimed = running_job(organization=organization)
    end(returned(claimed, {"text": "x" * 100_000}))
    target = RoomTarget(job.name, job.organization_id, job.pk)

    with CaptureQueriesContext(connection) as queries:
        verbs.read_join(target, None, user, {})

    reading = [query["sql"] for query in queries if '"result"' in query["sql"].replace("`", '"')]
    assert len(reading) == 1
    assert "LENGTH" in reading[0]


@pytest.mark.parametrize("char", ["x", "é", "\N{PILE OF POO}"])
def test_long_texts_are_cut_with_a_sign(organization: Organization, member: LiveClient, char: str) -> None:
    job, claimed = running_job(organization=organization)
    end(raised(claimed, "Permanent", text=char * 100_000))
    Job.objects.update(output_reference=char * 60_000, progress_message=char * 255)

    answer = joined(member, f"job:{job.name}")
    (event,) = verbs.status_events([answer["cursor"]])

    assert len(json.dumps(answer)) <= MAX_BYTES
    assert len(event.text(answer["room"])) <= MAX_BYTES
    for data in (answer["data"], json.loads(event.data)):
        assert data["error_message"].startswith(char * 1_000)
        assert data["error_message"].endswith(f"{char}…")
        assert data["output_reference"].endswith(f"{char}…")
        assert data["progress_message"] == char * 255
    assert answer["cut"] == ["output_reference", "error_message"]


def test_a_handler_that_returns_at_once_is_told_at_100_percent_before_its_end(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    job, claimed = running_job(organization=organization)

    @with_clients(member)
    async def told(client: LiveClient) -> list[dict[str, Any]]:
        await client.join(f"job:{job.name}")
        await do(end, returned(claimed))
        await broadcaster.send()
        heard = [await client.hear() for _ in range(2)]
        assert await client.has_nothing()
        return heard

    progress, change = told
    assert (progress["event"], progress["data"]["progress"], progress["data"]["attempt"]) == ("job_progress", 100, 1)
    assert (change["event"], change["data"]["to_status"]) == ("job_status_changed", "Completed")
    assert set(progress["data"]) == {
        *("job_id", "job_type", "organization", "attempt", "status", "progress", "progress_message", "updated_at")
    }


def test_the_last_words_of_a_handler_are_part_of_its_end(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    job, claimed = running_job(organization=organization)

    @with_clients(member)
    async def told(client: LiveClient) -> list[str]:
        await client.join(f"job:{job.name}")
        outcome = returned(claimed)
        object.__setattr__(outcome, "unwritten", (90, "350 of 350"))
        await do(end, outcome)
        await broadcaster.send()
        return [(await client.hear())["data"]["progress_message"] for _ in range(2)]

    assert told == ["350 of 350", "350 of 350"]


def test_100_percent_that_was_told_is_not_told_again(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    job, claimed = running_job(organization=organization)
    buffer = ProgressBuffer(WORKER)

    @with_clients(member)
    async def told(client: LiveClient) -> list[str]:
        await client.join(f"job:{job.name}")
        buffer.report((claimed.pk, claimed.attempt), 100, "done")
        await do(buffer.flush)
        await broadcaster.send()
        first = await client.hear()
        await do(end, returned(claimed))
        await broadcaster.send()
        return [first["event"], (await client.hear())["event"]]

    assert told == ["job_progress", "job_status_changed"]


def test_an_end_that_is_replayed_tells_no_progress(organization: Organization, member: LiveClient) -> None:
    job = job_in("Completed", organization=organization)

    @with_clients(member)
    async def events(client: LiveClient) -> list[str]:
        await client.join(f"job:{job.name}", since=0)
        return [(await client.hear())["event"] for _ in range(4)]

    assert events == ["job_status_changed"] * 4
