"""Live progress through a real server, a real Redis, real workers and a real client library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from channels.layers import channel_layers
from django.utils.module_loading import import_string

from django_jobs import cancel_job
from django_jobs.models import ExecutionLog, Job, Membership, Organization
from example_project.settings import CHANNEL_LAYERS
from tests.acceptance.steps import Stage, wait_for_status
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.server import LiveServer
from tests.support.verbs import LayerBroadcaster
from tests.support.workers import ProcessPool


@pytest.fixture
def layer() -> Iterator[None]:
    """This process tells what it does, as a web process of the host would."""
    config = CHANNEL_LAYERS["default"]
    channel_layers.set("default", import_string(config["BACKEND"])(**config["CONFIG"]))
    verbs.use_broadcaster(LayerBroadcaster())
    yield
    verbs.drain_broadcasts(5)
    verbs.use_broadcaster(None)
    channel_layers.backends.clear()


@pytest.fixture
def server(processes: ProcessPool, layer: None) -> LiveServer:
    return LiveServer(processes)


@pytest.fixture
def watchful_server(processes: ProcessPool) -> LiveServer:
    """A server that polls the log all the time, because no notification reaches it."""
    return LiveServer(processes, poll=0.2)


@pytest.fixture
def room(stage: Stage) -> str:
    return f"org:{stage.organization.name}"


@pytest.fixture
def member(stage: Stage) -> Any:
    return make_user(member_of=[stage.organization])


def last_id() -> int:
    return ExecutionLog.objects.latest("id").pk


def test_a_jobs_life_is_told_in_order(
    processes: ProcessPool, server: LiveServer, stage: Stage, member: Any, room: str
) -> None:
    processes.worker("--processes", "1", settings={"PROGRESS_INTERVAL": 0.05})
    with server.by_token(member) as client:
        client.join(room)
        job = stage.submit_recorded(make_job_type("record_and_wait"))
        job.wait_for("start", 1)
        job.let_go()
        wait_for_status(job.job, "Completed")
        heard = client.hear_until(job.job.name, "Completed")
    assert [item["data"]["to_status"] for item in heard if item["event"] == "job_status_changed"] == [
        "Pending",
        "Queued",
        "Running",
        "Completed",
    ]


def test_progress_is_told_while_the_handler_runs(
    processes: ProcessPool, server: LiveServer, stage: Stage, member: Any, room: str
) -> None:
    processes.worker("--processes", "1", settings={"PROGRESS_INTERVAL": 0.05})
    with server.by_token(member) as client:
        client.join(room)
        job = stage.submit(make_job_type("wait_with_checkpoints"))
        told = client.hear("job_progress")["data"]
        cancel_job(job)
        client.hear_until(job.name, "Canceled")
    assert (told["job_id"], told["status"], told["progress"], told["progress_message"]) == (
        job.name,
        "Running",
        50,
        "waiting",
    )


def test_what_happened_while_a_client_was_away_is_replayed(
    server: LiveServer, stage: Stage, member: Any, room: str
) -> None:
    with server.by_token(member) as client:
        client.join(room)
        first = stage.submit(make_job_type())
        since = client.hear_until(first.name, "Pending")[-1]["id"]
    missed = cancel_job(stage.submit(make_job_type()))
    with server.by_token(member) as client:
        client.join(room, since)
        heard = client.hear_until(missed.name, "Canceled")
    assert (missed.name, "Pending") in {(item["data"]["job_id"], item["data"]["to_status"]) for item in heard}


def test_a_restart_of_the_server_costs_no_event(server: LiveServer, stage: Stage, member: Any, room: str) -> None:
    with server.by_token(member) as client:
        client.join(room)
        since = client.hear_until(stage.submit(make_job_type()).name, "Pending")[-1]["id"]
        server.restart()
        assert client.close_code() in {0, 1001, 1006, 1012}
    missed = cancel_job(stage.submit(make_job_type()))
    with server.by_token(member) as client:
        client.join(room, since)
        heard = client.hear_until(missed.name, "Canceled")
    assert {item["room"] for item in heard} == {room}


def test_nothing_crosses_between_organizations(server: LiveServer, stage: Stage, member: Any, room: str) -> None:
    other = make_organization()
    with server.by_token(member) as client, server.by_token(make_user(member_of=[other])) as stranger:
        client.join(room)
        stranger.join(f"org:{other.name}")
        assert stranger.join(room)["code"] == "not_found"
        job = cancel_job(stage.submit(make_job_type()))
        client.hear_until(job.name, "Canceled")
        assert stranger.has_nothing()


def test_a_removed_member_hears_no_more(server: LiveServer, stage: Stage, member: Any, room: str) -> None:
    with server.by_token(member) as client:
        client.join(room)
        Membership.objects.all().delete()
        assert client.hear() == {"event": "left", "room": room, "reason": "forbidden"}
        stage.submit(make_job_type())
        assert client.has_nothing()


def test_members_of_a_suspended_organization_are_put_out(
    server: LiveServer, stage: Stage, member: Any, room: str
) -> None:
    with server.by_token(member) as client:
        client.join(room)
        Organization.objects.update(is_active=False)
        assert client.hear()["event"] == "left"
        assert client.join(room)["code"] == "forbidden"


def test_a_deactivated_user_is_hung_up_on(server: LiveServer, member: Any, room: str) -> None:
    with server.by_token(member) as client:
        client.join(room)
        type(member).objects.update(is_active=False)
        assert client.close_code() == 4401


def test_a_page_of_this_host_comes_in_by_session(server: LiveServer, member: Any) -> None:
    with server.by_session(member, server.origin) as client:
        assert client.has_nothing()


def test_a_page_of_another_host_does_not(server: LiveServer, member: Any) -> None:
    with server.by_session(member, "https://evil.example") as client:
        assert client.close_code() == 4401


def test_a_ticket_comes_in_as_a_subprotocol(server: LiveServer, member: Any) -> None:
    with server.client({}, ["jobs.v1", f"ticket.{verbs.make_socket_ticket(member)}"]) as client:
        assert (client.has_nothing(), client.connection.subprotocol) == (True, "jobs.v1")


def test_nobody_is_accepted_and_hung_up_on(server: LiveServer) -> None:
    with server.client({}) as client:
        assert client.close_code() == 4401


def test_no_key_appears_in_the_servers_log(server: LiveServer, member: Any) -> None:
    with server.by_token(member) as client:
        client.has_nothing()
    ticket = verbs.make_socket_ticket(member)
    with server.client({}, ["jobs.v1", f"ticket.{ticket}"]) as client:
        client.has_nothing()
    log = server.process.log()
    assert member.auth_token.key not in log
    assert ticket not in log


def test_bad_frames_and_a_thousand_joins_leave_the_server_standing(
    server: LiveServer, stage: Stage, member: Any, room: str
) -> None:
    with server.by_token(member) as rude, server.by_token(member) as client:
        client.join(room)
        for frame in ("nonsense", "[]", "{}", "x" * 50_000):
            rude.say(frame)
            assert rude.hear()["code"] == "bad_request"
        for _ in range(1_000):
            rude.say({"action": "join", "room": room})
        assert {rude.hear()["event"] for _ in range(1_000)} <= {"error", "joined"}
        job = stage.submit(make_job_type())
        client.hear_until(job.name, "Pending")


def test_a_layer_that_forgets_everything_is_caught_up_with(
    watchful_server: LiveServer, stage: Stage, member: Any, room: str, redis_client: redis.Redis
) -> None:
    with watchful_server.by_token(member) as client:
        client.join(room)
        redis_client.flushdb()
        job: Job = stage.submit(make_job_type())
        client.hear_until(job.name, "Pending")
