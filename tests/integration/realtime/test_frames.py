"""What a client may send, and what it is told when it may not."""

from __future__ import annotations

from typing import Any, Final
from unittest.mock import Mock

import pytest

from django_jobs.models import Organization
from tests.support import verbs
from tests.support.clocks import Clock
from tests.support.factories import make_user
from tests.support.live import LiveClient, ManualBroadcaster, by_token, do, later_job, with_clients
from tests.support.tuning import Tuning
from tests.support.verbs import Socket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def member(organization: Organization) -> LiveClient:
    return by_token(make_user(member_of=[organization]))


@pytest.fixture
def still_time(tuning: Tuning) -> None:
    """However long the machine takes, no more frames are allowed than at once."""
    tuning.set(sockets_clock=Clock())


NO_FRAMES: Final = [
    "",
    "nonsense",
    "[]",
    "null",
    '"join"',
    "{}",
    "{" * 2_000,
    "[" * 4_000,
    '{"action": "dance"}',
    '{"action": null}',
    '{"action": ["join"]}',
    '{"action": "join"}',
    '{"action": "leave", "room": 5}',
]


def test_a_frame_that_is_not_understood_is_answered_and_the_socket_stays(member: LiveClient, tuning: Tuning) -> None:
    tuning.set(frames_a_second=1_000)

    @with_clients(member)
    async def answers(client: LiveClient) -> dict[str, tuple[str, str, bool]]:
        found = {}
        for frame in NO_FRAMES:
            await client.say(frame)
            answer = await client.hear()
            found[frame] = (answer["event"], answer["code"], await client.has_nothing())
        return found

    assert answers == dict.fromkeys(NO_FRAMES, ("error", "bad_request", True))


@pytest.mark.parametrize("char", ["x", "é", "\ud800"])
def test_a_frame_of_more_than_64_kb_is_refused_and_closes_the_socket(member: LiveClient, char: str) -> None:
    @with_clients(member)
    async def told(client: LiveClient) -> tuple[dict[str, Any], int]:
        await client.say('{"action": "ping", "x": "' + char * (65_536 // len(char.encode(errors="replace"))) + '"}')
        return await client.hear(), await client.close_code()

    answer, code = told
    assert (answer["event"], answer["code"], code) == ("error", "limit", 1009)


def test_bytes_of_more_than_64_kb_are_refused_too(member: LiveClient) -> None:
    @with_clients(member)
    async def code(client: LiveClient) -> int:
        await client.say_bytes(b"x" * 65_537)
        return await client.close_code()

    assert code == 1009


def test_a_frame_of_64_kb_is_read(member: LiveClient) -> None:
    frame = '{"action": "ping", "x": ""}'

    @with_clients(member)
    async def answer(client: LiveClient) -> dict[str, Any]:
        await client.say(frame[:-2] + "x" * (65_536 - len(frame)) + frame[-2:])
        return await client.hear()

    assert answer["event"] == "pong"


@pytest.mark.usefixtures("still_time")
def test_long_frames_count_as_several(member: LiveClient) -> None:
    @with_clients(member)
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        for _ in range(2):
            await client.say('{"action": "ping", "x": "' + "x" * 60_000 + '"}')
        return [await client.hear() for _ in range(2)]

    assert [answer.get("code", answer["event"]) for answer in answers] == ["pong", "limit"]


def test_bytes_are_not_understood(member: LiveClient) -> None:
    @with_clients(member)
    async def answer(client: LiveClient) -> dict[str, Any]:
        await client.say_bytes(b'{"action": "ping"}')
        return await client.hear()

    assert answer["code"] == "bad_request"


@pytest.mark.usefixtures("still_time")
def test_more_frames_than_allowed_are_answered_with_limit(member: LiveClient) -> None:
    @with_clients(member)
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        for _ in range(verbs.FRAMES_A_SECOND + 10):
            await client.say({"action": "ping"})
        return [await client.hear() for _ in range(verbs.FRAMES_A_SECOND + 10)]

    told = [answer.get("code", answer["event"]) for answer in answers]
    assert told == ["pong"] * verbs.FRAMES_A_SECOND + ["limit"] * 10


@pytest.mark.usefixtures("still_time")
def test_a_thousand_joins_are_answered_one_by_one(organization: Organization, member: LiveClient) -> None:
    @with_clients(member)
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        for _ in range(1_000):
            await client.say({"action": "join", "room": f"org:{organization.name}"})
        return [await client.hear() for _ in range(1_000)]

    assert {answer.get("code", answer["event"]) for answer in answers} == {"joined", "limit"}
    assert {answer["room"] for answer in answers} == {f"org:{organization.name}"}


def test_there_is_a_limit_of_rooms(organization: Organization, member: LiveClient, tuning: Tuning) -> None:
    tuning.set(rooms_of_a_connection=2)
    jobs = [later_job(organization) for _ in range(3)]

    @with_clients(member)
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        return [await client.join(f"job:{job.name}") for job in jobs]

    assert [answer.get("code") for answer in answers] == [None, None, "limit"]


def test_a_room_joined_again_counts_once(organization: Organization, member: LiveClient, tuning: Tuning) -> None:
    tuning.set(rooms_of_a_connection=1)

    @with_clients(member)
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        return [await client.join(f"org:{organization.name}") for _ in range(2)]

    assert [answer["event"] for answer in answers] == ["joined", "joined"]


def test_a_room_joined_again_tells_everything_once(
    broadcaster: ManualBroadcaster, organization: Organization, member: LiveClient
) -> None:
    @with_clients(member)
    async def scenario(client: LiveClient) -> None:
        await client.join(f"org:{organization.name}")
        await client.join(f"org:{organization.name}")
        await do(later_job, organization)
        await broadcaster.send()
        await client.changes(1)
        assert await client.has_nothing()


def test_a_client_that_takes_nothing_is_told_to_read_the_present(tuning: Tuning) -> None:
    tuning.set(outbox_frames=3)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    ended: Any = Mock()
    identity: Any = None
    socket = Socket(send, identity, ended, ended)
    for number in range(5):
        socket.put(str(number))
    assert list(socket._outbox) == ["3", "4"]
