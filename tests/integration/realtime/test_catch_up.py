"""Coming back: what a client missed is told, and nothing is lost on the way."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections, transaction
from rest_framework.authtoken.models import Token

from django_jobs import cancel_job, submit_jobs
from django_jobs.models import ExecutionLog, Organization
from django_jobs.realtime import events
from tests.support import verbs
from tests.support.brokers import end, job_in, raised, start
from tests.support.factories import make_job_type, make_system_admin, make_user
from tests.support.live import LiveClient, ManualBroadcaster, by_token, do, later_job, with_clients
from tests.support.tuning import Tuning
from tests.support.verbs import TOKEN, Identity, Interpose, SocketConnection

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def member(organization: Organization) -> LiveClient:
    return by_token(make_user(member_of=[organization]))


def ids_of(organization: Organization) -> list[int]:
    return list(ExecutionLog.objects.filter(organization=organization).order_by("id").values_list("id", flat=True))


def in_thread(function: Callable[[], object]) -> None:
    """Call it on a connection of its own."""

    def run() -> None:
        try:
            function()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_after_a_replay_the_clients_next_frame_waits_as_for_the_frames_that_it_stands_for(
    organization: Organization, member: LiveClient, tuning: Tuning
) -> None:
    tuning.set(replayed_events_a_frame=1)
    for _ in range(10):
        later_job(organization)

    @with_clients(member)
    async def seconds(client: LiveClient) -> float:
        await client.join(f"org:{organization.name}", since=0)
        await client.changes(1)
        began = time.monotonic()
        await client.changes(9)
        assert await client.has_nothing()
        return time.monotonic() - began

    assert seconds > 0.25  # ten frames of twenty a second are half a second


def test_the_cursor_is_the_last_events_id(organization: Organization, member: LiveClient) -> None:
    later_job(organization)

    @with_clients(member)
    async def answer(client: LiveClient) -> dict[str, Any]:
        return await client.join(f"org:{organization.name}")

    assert answer == {"event": "joined", "room": f"org:{organization.name}", "cursor": ids_of(organization)[-1]}


def test_the_cursor_of_a_quiet_organization_is_zero(organization: Organization, member: LiveClient) -> None:
    @with_clients(member)
    async def answer(client: LiveClient) -> dict[str, Any]:
        return await client.join(f"org:{organization.name}")

    assert answer["cursor"] == 0


def test_the_cursor_is_no_older_than_an_event_that_is_told(organization: Organization) -> None:
    for _ in range(3):
        later_job(organization)
    first, *missed = ids_of(organization)

    # The cursor was read before the last of these was written.
    found = events._bounded(missed[0], ExecutionLog.objects.filter(id__gt=first))
    assert (found.cursor, list(found.log_ids)) == (missed[-1], missed)


def test_what_was_missed_is_told_in_order(organization: Organization, member: LiveClient) -> None:
    first = later_job(organization)
    since = ids_of(organization)[-1]
    jobs = [later_job(organization) for _ in range(3)]
    cancel_job(first)

    @with_clients(member)
    async def heard(client: LiveClient) -> list[tuple[str, str]]:
        await client.join(f"org:{organization.name}", since)
        return await client.changes(4)

    missed = [*((job.name, "Pending") for job in jobs), (first.name, "Canceled")]
    assert [item for item in heard if item != (first.name, "Pending")] == missed


def test_many_jobs_of_one_call_are_replayed_too(organization: Organization, member: LiveClient) -> None:
    later_job(organization)
    since = ids_of(organization)[-1]
    kind = make_job_type()
    submit_jobs([{"job_type": kind, "organization": organization, "parameters": {"n": n}} for n in range(3)])

    @with_clients(member)
    async def heard(client: LiveClient) -> set[int]:
        await client.join(f"org:{organization.name}", since)
        return {(await client.hear("job_status_changed"))["id"] for _ in range(3)}

    assert heard <= set(ids_of(organization))


def test_a_jobs_history_is_replayed_from_its_last_known_event(organization: Organization, member: LiveClient) -> None:
    job = job_in("Completed", organization=organization)
    first, *others = ids_of(organization)

    @with_clients(member)
    async def heard(client: LiveClient) -> list[int]:
        await client.join(f"job:{job.name}", first)
        return [(await client.hear())["id"] for _ in others]

    assert heard == others


def test_events_before_the_last_tell_what_was_then(organization: Organization, member: LiveClient) -> None:
    job = job_in("Completed", organization=organization)

    @with_clients(member)
    async def heard(client: LiveClient) -> list[tuple[str, int]]:
        await client.join(f"job:{job.name}", 0)
        data = [(await client.hear())["data"] for _ in range(4)]
        return [(item["to_status"], item["progress"]) for item in data]

    assert heard == [("Pending", 0), ("Queued", 0), ("Running", 0), ("Completed", 100)]


def test_each_attempt_is_replayed_with_its_own_error(organization: Organization, member: LiveClient) -> None:
    job = job_in("Failed", organization=organization)
    end(raised(start(job), text="it failed again"))

    @with_clients(member)
    async def heard(client: LiveClient) -> list[tuple[str, int, str]]:
        await client.join(f"job:{job.name}", 0)
        data = [(await client.hear())["data"] for _ in range(7)]
        return [(item["to_status"], item["attempt"], item["error_message"]) for item in data]

    assert heard == [
        ("Pending", 0, ""),
        ("Queued", 0, ""),
        ("Running", 1, ""),
        ("Failed", 1, "it failed"),
        ("Queued", 1, ""),
        ("Running", 2, ""),
        ("Failed", 2, "it failed again"),
    ]


def test_what_was_missed_is_not_told_once_the_room_is_taken_away(organization: Organization, tuning: Tuning) -> None:
    tuning.set(outbox_busy_frames=0)
    for _ in range(3):
        later_job(organization)
    token = Token.objects.create(user=make_user(member_of=[organization]))
    frame = {"action": "join", "room": f"org:{organization.name}", "since": 0}
    told: list[str] = []

    @async_to_sync
    async def join() -> None:
        async def send(message: dict[str, Any]) -> None:
            if "text" in message:
                told.append(json.loads(message["text"])["event"])
            if told[-1:] == ["job_status_changed"]:
                for target in client.socket.targets():
                    client.socket.revoke(target)

        client = SocketConnection(send, Identity(TOKEN, token.key))
        assert await client.accept() == 0
        await client.answer(0, lambda: frame)
        await client.close(1000)
        await client.end()

    join()
    assert told == ["joined", "job_status_changed", "left"]


def test_too_much_to_replay_is_left_to_rest(organization: Organization, member: LiveClient, tuning: Tuning) -> None:
    tuning.set(missed_events=2)
    jobs = [later_job(organization) for _ in range(4)]

    @with_clients(member)
    async def answer(client: LiveClient) -> dict[str, Any]:
        answer = await client.join(f"org:{organization.name}", 0)
        assert await client.has_nothing()
        return answer

    assert (answer["resync"], answer["cursor"]) == (True, ExecutionLog.objects.get(job=jobs[-1]).pk)


def test_everybodys_room_replays_nothing() -> None:
    later_job()

    @with_clients(by_token(make_system_admin()))
    async def answer(client: LiveClient) -> dict[str, Any]:
        return await client.join("admin:jobs", 1)

    assert answer["resync"] is True


def test_a_deleted_event_serves_as_well(organization: Organization, member: LiveClient) -> None:
    later_job(organization)
    gone = later_job(organization)
    since = ids_of(organization)[-1]
    ExecutionLog.objects.filter(job=gone).delete()
    missed = later_job(organization)

    @with_clients(member)
    async def heard(client: LiveClient) -> int:
        await client.join(f"org:{organization.name}", since)
        while (message := await client.hear())["data"]["job_id"] != missed.name:
            pass
        return int(message["id"])

    assert heard == ids_of(organization)[-1]


def test_what_happens_between_join_and_replay_is_told_once(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient, interpose: Interpose
) -> None:
    later_job(organization)
    broadcaster.forget()
    (since,) = ids_of(organization)
    read = verbs.read_join

    def read_while_things_happen(*args: Any) -> Any:
        later_job(organization)  # visible to the replay, and its notification is sent afterwards
        return read(*args)

    interpose("read_join", read_while_things_happen)

    @with_clients(member)
    async def heard(client: LiveClient) -> list[int]:
        await client.join(f"org:{organization.name}", since)
        heard = [(await client.hear("job_status_changed"))["id"]]
        await do(later_job, organization)
        await broadcaster.send()
        heard += [(await client.hear("job_status_changed"))["id"] for _ in range(2)]
        return heard

    assert set(heard) == set(ids_of(organization)) - {since}


def test_since_must_be_an_events_id(organization: Organization, member: LiveClient) -> None:
    wrong: list[Any] = [-1, "5", 1.5, True, 2**63, [], {}]

    @with_clients(member)
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        return [await client.join(f"org:{organization.name}", since) for since in wrong]

    told = [(answer["event"], answer.get("code")) for answer in answers]
    assert told == [("error", "bad_request")] * len(wrong)


def hold_open(organization: Organization, meanwhile: Callable[[], object]) -> None:
    """A submission whose transaction commits only after ``meanwhile`` has happened on another connection."""
    with transaction.atomic():
        later_job(organization)
        in_thread(meanwhile)


@pytest.fixture
def late(organization: Organization) -> tuple[int, int]:
    """Two events: the first was written before the second, and committed after it was seen."""
    if connection.vendor == "sqlite":  # one writer at a time: what is written first commits first
        later_job(organization)
        later_job(organization)
    else:
        hold_open(organization, lambda: later_job(organization))
    first, second = ids_of(organization)
    return first, second


def test_an_event_that_commits_after_a_later_one_was_seen_is_not_missed(
    organization: Organization, member: LiveClient, late: tuple[int, int]
) -> None:
    expected = set() if connection.vendor == "sqlite" else {late[0]}
    assert expected <= set(verbs.catch_up(organization.pk, late[1]).log_ids)


def test_a_poll_finds_what_was_open_at_the_poll_before(organization: Organization) -> None:
    ((watermark, _),) = verbs.first_watermarks([organization.pk])
    later_job(organization)
    found, _ = verbs.poll_events(organization.pk, watermark)
    assert found == ids_of(organization)
