"""The small HTTP server: what it answers, and to whom it does not listen for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from django_jobs.health import server
from django_jobs.health.notes import Reply, json_reply
from django_jobs.health.server import ProbeServer
from tests.support.probes import ask, code_of
from tests.support.tuning import Tuning
from tests.support.waiting import wait_until

PATIENCE = 30
is_asked, is_late = threading.Event(), threading.Event()


def answer_late(_: str) -> Reply:
    is_asked.set()
    return json_reply(200, {"in time": is_late.wait(PATIENCE)})


@pytest.fixture
def probes() -> Iterator[ProbeServer]:
    routes = {
        "/live": lambda _: json_reply(200, {"status": "live"}),
        "/accept": lambda accept: Reply(200, "text/plain", accept.encode()),
        "/broken": lambda _: json_reply(200, object()),
        "/slow": answer_late,
    }
    probes = ProbeServer("127.0.0.1", 0, routes)
    yield probes
    probes.close()


def slow_client(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(b"GET /li")
    return client


def test_it_answers_get_and_head(probes: ProbeServer) -> None:
    found, head = ask(probes.server_port, "/live"), ask(probes.server_port, "/live", method="HEAD")
    assert (found.code, found.body) == (200, '{"status": "live"}\n')
    assert (head.code, head.body, head.headers["Content-Length"]) == (200, "", str(len(found.body)))
    assert found.headers["Cache-Control"] == "no-store"
    with (
        socket.create_connection(("127.0.0.1", probes.server_port), timeout=PATIENCE) as client,
        client.makefile("rb") as raw,
    ):
        client.sendall(b"HEAD /live HTTP/1.0\r\n\r\n")
        assert raw.read().endswith(b"\r\n\r\n")  # most clients would not tell of a body


def test_a_slash_at_the_end_and_a_query_do_not_matter(probes: ProbeServer) -> None:
    assert [code_of(probes.server_port, path) for path in ("/live/", "/live?verbose=1")] == [200, 200]


def test_another_path_is_told_which_there_are(probes: ProbeServer) -> None:
    answer = ask(probes.server_port, "/healthz")
    assert (answer.code, "/accept, /broken, /live" in answer.body) == (404, True)


def test_another_method_is_refused(probes: ProbeServer) -> None:
    assert ask(probes.server_port, "/live", method="POST").code == 501


def test_a_mistake_of_ours_is_a_500_and_ends_nothing(probes: ProbeServer, caplog: pytest.LogCaptureFixture) -> None:
    assert code_of(probes.server_port, "/broken") == 500
    assert "event=probe_failed path=/broken" in caplog.text
    assert code_of(probes.server_port, "/live") == 200


def test_clients_more_than_there_are_places_wait_until_silent_ones_are_let_go(
    probes: ProbeServer, tuning: Tuning
) -> None:
    tuning.set(probe_silent_seconds=0.3)
    clients = [slow_client(probes.server_port) for _ in range(2 * server.MAX_CLIENTS)]
    assert ask(probes.server_port, "/live", timeout=PATIENCE).code == 200
    assert clients[0].recv(100) == b""
    for client in clients:
        client.close()


def test_a_client_that_sends_a_request_bit_by_bit_is_let_go(probes: ProbeServer, tuning: Tuning) -> None:
    tuning.set(probe_client_seconds=0.2)

    def is_let_go() -> bool:
        try:
            client.sendall(b"v")
        except ConnectionError:
            return True
        return False

    with slow_client(probes.server_port) as client:
        wait_until(is_let_go, PATIENCE, "the end of the connection")


def test_an_answer_that_takes_a_while_holds_up_no_other(probes: ProbeServer) -> None:
    is_late.clear()
    is_asked.clear()
    answer: list[int] = []
    asking = threading.Thread(target=lambda: answer.append(code_of(probes.server_port, "/slow")))
    asking.start()
    assert is_asked.wait(PATIENCE)
    assert code_of(probes.server_port, "/live") == 200
    is_late.set()
    asking.join(PATIENCE)
    assert answer == [200]


def test_where_the_system_has_no_thread_a_client_is_let_go_and_later_ones_are_answered(
    probes: ProbeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert {code_of(probes.server_port, "/live") for _ in range(server.MAX_CLIENTS + 1)} == {0}
    assert code_of(probes.server_port, "/live") == 200


def test_its_threads_end_with_it(probes: ProbeServer) -> None:
    held = slow_client(probes.server_port)
    assert code_of(probes.server_port, "/live") == 200
    probes.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("probe")] == []
    held.close()


def test_a_port_that_is_taken_is_an_error(probes: ProbeServer) -> None:
    with pytest.raises(OSError, match="in use"):
        ProbeServer("127.0.0.1", probes.server_port, {})


def test_without_a_host_it_listens_at_all_addresses() -> None:
    probes = ProbeServer("", 0, {"/live": lambda _: json_reply(200, {})})
    assert code_of(probes.server_port, "/live") == 200
    probes.close()
