"""The small HTTP server: what it answers, and to whom it does not listen for ever."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from django_jobs.health import server
from django_jobs.health.server import ProbeServer, Reply, json_reply, listen
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
    probes = ProbeServer(listen("127.0.0.1", 0), routes)
    probes.start()
    yield probes
    probes.close()


def slow_client(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(b"GET /li")
    return client


def test_it_answers_get_and_head(probes: ProbeServer) -> None:
    found, head = ask(probes.port, "/live"), ask(probes.port, "/live", method="HEAD")
    assert (found.code, found.body) == (200, '{"status": "live"}\n')
    assert (head.code, head.body, head.headers["Content-Length"]) == (200, "", str(len(found.body)))
    assert found.headers["Cache-Control"] == "no-store"
    with socket.create_connection(("127.0.0.1", probes.port), timeout=PATIENCE) as client, client.makefile("rb") as raw:
        client.sendall(b"HEAD /live HTTP/1.0\r\n\r\n")
        assert raw.read().endswith(b"\r\n\r\n")  # most clients would not tell of a body


def test_a_slash_at_the_end_and_a_query_do_not_matter(probes: ProbeServer) -> None:
    assert [code_of(probes.port, path) for path in ("/live/", "/live?verbose=1")] == [200, 200]


def test_another_path_is_told_which_there_are(probes: ProbeServer) -> None:
    answer = ask(probes.port, "/healthz")
    assert (answer.code, "/accept, /broken, /live" in answer.body) == (404, True)


def test_another_method_is_refused(probes: ProbeServer) -> None:
    answer = ask(probes.port, "/live", method="POST")
    assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_mistake_of_ours_is_a_500_and_ends_nothing(probes: ProbeServer, caplog: pytest.LogCaptureFixture) -> None:
    assert code_of(probes.port, "/broken") == 500
    assert "event=probe_failed path=/broken" in caplog.text
    assert code_of(probes.port, "/live") == 200


def test_of_too_many_slow_clients_the_oldest_is_let_go_so_that_others_are_answered_at_once(
    probes: ProbeServer, tuning: Tuning
) -> None:
    tuning.set(probe_request_seconds=10.0 * PATIENCE, probe_silent_seconds=10.0 * PATIENCE)
    clients = [slow_client(probes.port) for _ in range(4 * server.MAX_CLIENTS)]
    assert ask(probes.port, "/live", timeout=PATIENCE).code == 200
    assert clients[0].recv(100) == b""
    for client in clients:
        client.close()


def test_who_sends_a_request_bit_by_bit_is_let_go(probes: ProbeServer, tuning: Tuning) -> None:
    tuning.set(probe_request_seconds=0.2)

    def is_let_go() -> bool:
        try:
            client.sendall(b"v")
        except ConnectionError:
            return True
        return False

    with slow_client(probes.port) as client:
        wait_until(is_let_go, PATIENCE, "the end of the connection")


def test_an_answer_may_take_longer_than_its_request(probes: ProbeServer, tuning: Tuning) -> None:
    tuning.set(probe_request_seconds=1.0)
    is_late.clear()
    is_asked.clear()
    answer: list[int] = []
    asking = threading.Thread(target=lambda: answer.append(code_of(probes.port, "/slow")))
    asking.start()
    assert is_asked.wait(PATIENCE)
    with slow_client(probes.port) as late:
        assert late.recv(100) == b""  # its time is over, and the other one's was
        is_late.set()
        asking.join(PATIENCE)
    assert answer == [200]


def test_clients_for_whom_the_system_has_no_thread_take_no_place(
    probes: ProbeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert {code_of(probes.port, "/live") for _ in range(server.MAX_CLIENTS + 1)} == {0}
    assert code_of(probes.port, "/live") == 200


def test_who_asks_while_it_pauses_is_answered_afterwards(probes: ProbeServer) -> None:
    others = set(threading.enumerate()) - {probes._thread}

    def own() -> set[str]:
        return {thread.name for thread in set(threading.enumerate()) - others} & {"probe", "probes"}

    held = slow_client(probes.port)
    wait_until(lambda: own() == {"probe", "probes"}, PATIENCE, "the thread of a client")
    probes.pause()
    assert own() == set()
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(code_of(probes.port, "/live")))
    asking.start()
    probes.start()
    asking.join(PATIENCE)
    assert answers == [200]
    held.close()


def test_a_port_that_is_taken_is_an_error(probes: ProbeServer) -> None:
    with pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", probes.port)


def test_without_a_host_it_listens_at_all_addresses() -> None:
    probes = ProbeServer(listen("", 0), {"/live": lambda _: json_reply(200, {})})
    probes.start()
    assert code_of(probes.port, "/live") == 200
    probes.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_does_not_hold_the_port() -> None:
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    pid = os.fork()
    if pid == 0:
        os._exit(0 if listening.fileno() == -1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    listening.close()
    listen("127.0.0.1", port).close()
