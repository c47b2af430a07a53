"""Socket.IO: who comes in, what they hear, and what is answered to those who may not or send something else."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any, Final, cast

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from rest_framework.authtoken.models import Token

from django_jobs.models import Membership, Organization
from tests.support import verbs
from tests.support.brokers import end, returned, running_job
from tests.support.clocks import Clock
from tests.support.factories import make_organization, make_user
from tests.support.live import APPLICATION, PATIENCE, ManualBroadcaster, do, later_job
from tests.support.socketio_client import SocketIOClient, play, token_of
from tests.support.tuning import Tuning
from tests.support.verbs import Hub, Interpose

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

#: Stands in what tells a client how to say who it is.
HOW: Final = 'auth {"token": …}'


@pytest.fixture
def user(organization: Organization) -> User:
    return make_user(member_of=[organization])


@pytest.fixture
def auth(user: User) -> dict[str, str]:
    return {"token": token_of(user)}


@pytest.fixture
def room(organization: Organization) -> str:
    return f"org:{organization.name}"


@pytest.fixture
def quick_rechecks(tuning: Tuning) -> None:
    tuning.set(hub_tick_seconds=0.01, hub_recheck_seconds=0.01)


@pytest.fixture
def short_farewells(tuning: Tuning) -> None:
    tuning.set(socketio_linger_seconds=0.1)


def by_session(user: User, origin: str) -> SocketIOClient:
    browser = Browser()
    browser.force_login(user)
    return SocketIOClient({"cookie": f"sessionid={browser.cookies['sessionid'].value}", "origin": origin})


def answer_to(client: SocketIOClient, auth: object = None) -> tuple[str, Any]:
    """What the server answers to a client that connects. Of one that is refused nothing is kept."""

    @play(client)
    async def answer(client: SocketIOClient) -> tuple[str, Any]:
        told = await client.connect(auth)
        assert (asyncio.get_running_loop() in Hub._hubs) is (told[0] == "connect")
        return told

    return answer


# -- who comes in ------------------------------------------------------------------------------------------------------


def test_a_client_says_who_it_is_in_any_of_the_ways(subtests: pytest.Subtests, user: User) -> None:
    token = token_of(user)
    ways: dict[str, tuple[SocketIOClient, object]] = {
        "auth": (SocketIOClient(), {"token": token}),
        "auth before the rest": (SocketIOClient({"authorization": "Token other"}, "&token=other"), {"token": token}),
        "ticket": (SocketIOClient(), {"ticket": verbs.make_socket_ticket(user)}),
        "query": (SocketIOClient(query=f"&token={token}"), None),
        "query, with an empty auth": (SocketIOClient(query=f"&token={token}"), {"token": ""}),
        "header": (SocketIOClient({"authorization": f"Token {token}"}), None),
        "token from elsewhere": (SocketIOClient({"origin": "https://elsewhere.example"}), {"token": token}),
        "session": (by_session(user, "http://localhost"), None),
    }
    for way, (client, auth) in ways.items():
        with subtests.test(way=way):
            name, data = answer_to(client, auth)
            assert (name, list(data)) == ("connect", ["sid"])


def test_who_does_not_say_who_they_are_is_told_how_to(subtests: pytest.Subtests, user: User) -> None:
    ways: dict[str, tuple[SocketIOClient, object]] = {
        "nothing": (SocketIOClient(), None),
        "no object": (SocketIOClient(), "token"),
        "empty": (SocketIOClient(), {"token": ""}),
        "a session of another page": (by_session(user, "https://evil.example"), None),
    }
    for way, (client, auth) in ways.items():
        with subtests.test(way=way):
            name, data = answer_to(client, auth)
            assert (name, data["data"]) == ("connect_error", {"code": "unauthenticated"})
            assert HOW in data["message"]


def test_bad_credentials_are_refused_and_not_made_good_by_others(subtests: pytest.Subtests, user: User) -> None:
    good = {"authorization": f"Token {token_of(user)}"}
    for bad in ({"token": "nonsense"}, {"token": 5}, {"token": "x" * 10_000}, {"ticket": "nonsense"}, {"token": ["a"]}):
        with subtests.test(auth=bad):
            name, data = answer_to(SocketIOClient(good), bad)
            assert (name, data["data"]) == ("connect_error", {"code": "unauthenticated"})
            assert HOW not in data["message"]


def test_who_has_all_their_sockets_open_is_told_so(user: User, auth: dict[str, str], tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)

    @play(SocketIOClient(), SocketIOClient())
    async def answers(first: SocketIOClient, second: SocketIOClient) -> list[Any]:
        return [await first.connect(auth), await second.connect(auth)]

    assert [name for name, _ in answers] == ["connect", "connect_error"]
    assert answers[1][1]["data"] == {"code": "limit"}


@pytest.mark.usefixtures("short_farewells")
def test_who_never_says_who_they_are_is_told_so_and_cut_off(tuning: Tuning) -> None:
    tuning.set(socketio_connect_seconds=0.05)

    @play(SocketIOClient())
    async def told(client: SocketIOClient) -> tuple[str, Any]:
        answer = await client.hear()
        assert await client.is_cut()
        return answer

    assert (told[0], told[1]["data"]) == ("connect_error", {"code": "unauthenticated"})
    assert HOW in told[1]["message"]


@pytest.mark.usefixtures("short_farewells")
def test_who_begins_with_something_else_is_refused_and_cut_off(subtests: pytest.Subtests) -> None:
    first = {
        '42["join_room","org:a"]': "unauthenticated",
        "431[]": "unauthenticated",
        "40{": "bad_request",
        "40" + "[" * 5_000: "bad_request",
        '451-["join_room",{"_placeholder":true,"num":0}]': "bad_request",
        "40" + "x" * 65_536: "limit",
    }
    for packet, code in first.items():
        with subtests.test(packet=packet[:40]):

            @play(SocketIOClient())
            async def told(client: SocketIOClient, packet: str = packet) -> Any:
                await client.say(packet)
                answer = await client.hear()
                assert await client.is_cut()
                return answer

            assert (told[0], told[1]["data"]) == ("connect_error", {"code": code})


def test_what_the_transport_cannot_read_ends_it_at_once(subtests: pytest.Subtests, auth: dict[str, str]) -> None:
    for text in ("", "x", "9", "2" + "[" * 5_000, '4["join_room"]', "4" + "2" * 200_000):
        with subtests.test(text=text[:20]):

            @play(SocketIOClient())
            async def is_cut(client: SocketIOClient, text: str = text) -> bool:
                await client.connect(auth)
                await client.say(text)
                return await client.is_cut()

            assert is_cut


def test_who_ends_the_transport_but_not_the_websocket_is_cut_off(auth: dict[str, str], tuning: Tuning) -> None:
    tuning.set(socketio_end_seconds=0.1)

    @play(SocketIOClient())
    async def is_cut(client: SocketIOClient) -> bool:
        await client.connect(auth)
        await client.say("1")
        return await client.is_cut()

    assert is_cut


def test_another_namespace_is_refused_and_leaves_the_connection_alone(auth: dict[str, str], room: str) -> None:
    @play(SocketIOClient())
    async def answers(client: SocketIOClient) -> list[Any]:
        await client.say("40/admin,")
        before = await client.hear()
        await client.connect(auth)
        await client.say("40/admin,")
        return [before, await client.hear(), await client.ask("join_room", room)]

    assert [name for name, _ in answers] == ["connect_error", "connect_error", "joined"]
    assert [answer["data"]["code"] for _, answer in answers[:2]] == ["not_found", "bad_request"]
    assert len({answer["message"] for _, answer in answers[:2]}) == 1


def test_who_opens_many_transports_without_saying_who_they_are_keeps_nobody_out(
    auth: dict[str, str], room: str, tuning: Tuning
) -> None:
    tuning.set(socketio_unknown_clients=2, socketio_connect_seconds=10 * PATIENCE)
    application: Any = APPLICATION
    shared = verbs.with_socketio(application)
    known, *strangers = (SocketIOClient(server=shared) for _ in range(6))

    @play(known)
    async def answers(client: SocketIOClient) -> list[str]:
        assert (await client.connect(auth))[0] == "connect"
        for stranger in strangers:
            await stranger.open()
        late = await SocketIOClient(server=shared).open()
        assert (await late.connect(auth))[0] == "connect"
        assert await strangers[0].is_cut()
        found = [(await item.ask("join_room", room))[0] for item in (late, client)]
        for item in (late, *strangers):
            await item.leave()
        return found

    assert answers == ["joined", "joined"]


def test_who_is_being_let_in_does_not_give_way_to_one_that_comes_later(
    user: User, auth: dict[str, str], interpose: Interpose, tuning: Tuning
) -> None:
    tuning.set(socketio_unknown_clients=1)
    is_asked, may_go_on, application = threading.Event(), threading.Event(), cast("Any", APPLICATION)

    def slowly(_: object) -> User:
        is_asked.set()
        assert may_go_on.wait(PATIENCE)
        return user

    interpose("active_user", slowly)
    shared = verbs.with_socketio(application)

    @play(SocketIOClient(server=shared))
    async def answer(client: SocketIOClient) -> tuple[str, Any]:
        await client.say(f"40{json.dumps(auth)}")
        assert await asyncio.to_thread(is_asked.wait, PATIENCE)
        late = await SocketIOClient(server=shared).open()
        may_go_on.set()
        await late.leave()
        return await client.hear()

    assert answer[0] == "connect"


# -- what they hear ----------------------------------------------------------------------------------------------------


def test_a_jobs_changes_and_progress_come_in_order_with_the_data_alone(
    broadcaster: ManualBroadcaster, organization: Organization, auth: dict[str, str], room: str
) -> None:
    job, claimed = running_job(organization=organization)
    broadcaster.forget()

    @play(SocketIOClient())
    async def heard(client: SocketIOClient) -> list[Any]:
        await client.connect(auth)
        await client.ask("join_room", room)
        await do(end, returned(claimed, {"pages": 1}, "report.pdf"))
        await broadcaster.send()
        return [await client.hear() for _ in range(2)]

    (progress, (shown,)), (change, (ended,)) = heard
    assert (progress, change) == ("job_progress", "job_status_changed")
    assert (shown["job_id"], shown["progress"]) == (job.name, 100)
    assert (ended["job_id"], ended["to_status"], ended["output_reference"]) == (job.name, "Completed", "report.pdf")


def test_a_room_joined_by_an_object_tells_ids_and_replays_what_was_missed(
    broadcaster: ManualBroadcaster, organization: Organization, auth: dict[str, str], room: str
) -> None:
    job = later_job(organization)

    @play(SocketIOClient())
    async def heard(client: SocketIOClient) -> Any:
        await client.connect(auth)
        _, joined = await client.ask("join_room", {"room": room, "since": 0})
        told = await client.hear("job_status_changed")
        await client.ask("join_room", room)
        await do(later_job, organization)
        await broadcaster.send()
        return joined, told, await client.hear("job_status_changed")

    joined, (_, (data, about)), (_, by_text) = heard
    assert len(by_text) == 1
    assert (joined["room"], data["job_id"]) == (room, job.name)
    assert about == {"room": room, "id": joined["cursor"]}


def test_an_acknowledgement_says_what_the_event_says(auth: dict[str, str], room: str) -> None:
    @play(SocketIOClient())
    async def heard(client: SocketIOClient) -> list[Any]:
        await client.connect(auth)
        await client.emit("join_room", room, number=0)
        joined = [await client.hear(), await client.hear()]
        await client.emit("join_room", "org:nobody", number=8)
        return [*joined, await client.hear(), await client.hear()]

    (joined, (event,)), (_, (acknowledged,)), (error, (refusal,)), (_, (refused,)) = heard
    assert (joined, acknowledged) == ("joined", {"event": "joined", **event})
    assert (error, refused) == ("error", {"event": "error", **refusal})


def test_who_leaves_a_room_hears_no_more_of_it(
    broadcaster: ManualBroadcaster, organization: Organization, auth: dict[str, str], room: str
) -> None:
    @play(SocketIOClient())
    async def is_silent(client: SocketIOClient) -> bool:
        await client.connect(auth)
        await client.ask("join_room", room)
        assert await client.ask("leave_room", room) == ("left", {"room": room})
        await do(later_job, organization)
        await broadcaster.send()
        return await client.has_nothing()

    assert is_silent


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_another_tenants_room_is_refused_like_one_that_does_not_exist_and_tells_nothing(
    broadcaster: ManualBroadcaster, auth: dict[str, str]
) -> None:
    other = make_organization()
    foreign = later_job(other)
    broadcaster.forget()

    @play(SocketIOClient())
    async def answers(client: SocketIOClient) -> list[Any]:
        await client.connect(auth)
        rooms = [f"org:{other.name}", f"job:{foreign.name}", "org:nobody", "job:JOB-1999-00001"]
        told = [await client.ask("join_room", room) for room in rooms]
        await do(later_job, other)
        await broadcaster.send()
        assert await client.has_nothing()
        return told

    assert {name for name, _ in answers} == {"error"}
    assert {answer["code"] for _, answer in answers} == {"not_found"}
    assert len({answer["detail"] for _, answer in answers}) == 1


#: What is wrong with each packet. What is answered to one mistake is the same for each, and differs from another one.
BAD_EVENTS: Final = {
    "42": "no event",
    "42[]": "no event",
    "42{}": "no event",
    "42[5]": "no event",
    '42["dance"]': "unknown event",
    '42["join_room"]': "no room",
    '42["join_room",{"room":5}]': "no room",
    '42["join_room",{"room":"org:a","since":"b"}]': "no id",
    "42[": "no packet",
    "42" + "[" * 4_000: "no packet",
    '42["join_room","org:a"': "no packet",
    '451-["join_room",{"_placeholder":true,"num":0}]': "binary data",
    "431[]": "no event",
    "44": "no event",
    '42[["join_room"]]': "no event",
    '42[{"join_room": 1}]': "no event",
    '42/admin,["join_room","org:a"]': "another namespace",
}
#: What an answer to a mistake names.
NAMED: Final = {"unknown event": "join_room, leave_room, ping", "no room": "room", "no id": "since"}


def test_a_packet_that_is_not_understood_is_answered_and_the_connection_stays(
    auth: dict[str, str], tuning: Tuning
) -> None:
    tuning.set(frames_a_second=1_000)

    @play(SocketIOClient())
    async def answers(client: SocketIOClient) -> dict[str, tuple[str, str, str]]:
        await client.connect(auth)
        found = {}
        for packet in BAD_EVENTS:
            await client.say(packet)
            name, (answer,) = await client.hear()
            found[packet] = (name, answer["code"], answer["detail"])
        await client.say(b"\x00\x01")
        assert (await client.hear())[0] == "error"
        assert await client.has_nothing()
        return found

    assert {(name, code) for name, code, _ in answers.values()} == {("error", "bad_request")}
    told = {(mistake, answers[packet][2]) for packet, mistake in BAD_EVENTS.items()}
    assert len(told) == len({detail for _, detail in told}) == len(set(BAD_EVENTS.values()))
    assert all(NAMED.get(mistake, "") in detail for mistake, detail in told)


@pytest.fixture
def still_time(tuning: Tuning) -> None:
    """However long the machine takes, no more frames are allowed than at once."""
    tuning.set(sockets_clock=Clock())


@pytest.mark.usefixtures("still_time")
def test_a_flood_is_answered_with_limit_one_by_one(auth: dict[str, str], room: str) -> None:
    @play(SocketIOClient())
    async def answers(client: SocketIOClient) -> list[Any]:
        await client.connect(auth)
        for _ in range(200):
            await client.emit("join_room", room)
        return [await client.hear() for _ in range(200)]

    refused = [answer[0] for name, answer in answers if name == "error"]
    assert {name for name, _ in answers} == {"joined", "error"}
    assert {answer["code"] for answer in refused} == {"limit"}
    assert all("20" in answer["detail"] for answer in refused)
    assert len(refused) > 100


@pytest.mark.usefixtures("still_time")
def test_a_flood_before_the_client_says_who_it_is_ends_it(tuning: Tuning) -> None:
    tuning.set(socketio_linger_seconds=0.1)

    @play(SocketIOClient())
    async def told(client: SocketIOClient) -> list[Any]:
        for _ in range(30):
            await client.say("40/admin,")
        answers = [await client.hear() for _ in range(21)]
        assert await client.is_cut()
        return answers

    assert [answer["data"]["code"] for _, answer in told] == ["not_found"] * 20 + ["limit"]


@pytest.mark.usefixtures("short_farewells")
def test_a_packet_of_more_than_64_kb_is_refused_and_ends_the_connection(auth: dict[str, str]) -> None:
    @play(SocketIOClient())
    async def told(client: SocketIOClient) -> tuple[str, Any]:
        await client.connect(auth)
        await client.emit("ping", "x" * 65_536)
        answer = await client.hear()
        assert await client.hear() == ("disconnect", None)
        assert await client.is_cut()
        return answer

    assert (told[0], told[1][0]["code"]) == ("error", "limit")


def test_there_is_a_limit_of_rooms(organization: Organization, auth: dict[str, str], tuning: Tuning) -> None:
    tuning.set(rooms_of_a_connection=2)
    jobs = [later_job(organization) for _ in range(3)]

    @play(SocketIOClient())
    async def answers(client: SocketIOClient) -> list[Any]:
        await client.connect(auth)
        return [await client.ask("join_room", f"job:{job.name}") for job in jobs]

    assert [answer.get("code") for _, answer in answers] == [None, None, "limit"]


# -- and until when ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_rechecks")
def test_a_removed_member_is_put_out_of_the_room(auth: dict[str, str], room: str) -> None:
    @play(SocketIOClient())
    async def message(client: SocketIOClient) -> Any:
        await client.connect(auth)
        await client.ask("join_room", room)
        await do(Membership.objects.all().delete)
        return await client.hear()

    assert message == ("left", [{"room": room, "reason": "forbidden"}])


@pytest.mark.usefixtures("quick_rechecks", "short_farewells")
def test_a_revoked_token_ends_the_connection_and_says_why(auth: dict[str, str], room: str) -> None:
    @play(SocketIOClient())
    async def told(client: SocketIOClient) -> list[Any]:
        await client.connect(auth)
        await client.ask("join_room", room)
        await do(Token.objects.all().delete)
        answers = [await client.hear(), await client.hear()]
        assert await client.is_cut()
        return answers

    (name, (reason,)), farewell = told
    assert (name, reason["code"], farewell) == ("error", "unauthenticated", ("disconnect", None))


def test_a_client_that_goes_makes_room(auth: dict[str, str], room: str, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)
    for _ in range(2):

        @play(SocketIOClient())
        async def is_in(client: SocketIOClient) -> bool:
            await client.connect(auth)
            await client.ask("join_room", room)
            return True

        assert is_in
