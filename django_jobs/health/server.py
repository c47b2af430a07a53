"""The HTTP server of a worker's or scheduler's probes."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple

from django_jobs.health.notes import HealthNotes
from django_jobs.texts import say

# What probes are answered: a status code of HTTP, and an object for JSON.


Answer = tuple[int, dict[str, Any]]
OK = 200
UNAVAILABLE = 503


def live(notes: HealthNotes) -> Answer:
    """Say whether this process does its rounds. Nothing outside of it can make this fail."""
    if seconds := notes.hanging_for:
        return UNAVAILABLE, {"status": "hanging", "reasons": [_hanging(seconds)]}
    return OK, {"status": "live"}


def ready(notes: HealthNotes) -> Answer:
    """Say whether this process can do its work, and if not, why."""
    reasons = [reason for reason in (_own_problem(notes), notes.database.problem, notes.broker.problem) if reason]
    if reasons:
        return UNAVAILABLE, {"status": "not ready", "reasons": reasons}
    return OK, {"status": "ready"}


def _own_problem(notes: HealthNotes) -> str:
    if notes.is_leaving:
        return say("It was told to stop.", code="leaving")
    if not notes.has_begun:
        return say("It has not begun: it waits for the database or the broker.", code="not_begun")
    if seconds := notes.hanging_for:
        return _hanging(seconds)
    if notes.children is not None and notes.children[1] < notes.children[0]:
        wanted, living = notes.children
        return say("%(up)d of %(wanted)d child processes are up.", code="child_missing", up=living, wanted=wanted)
    return ""


def _hanging(seconds: float) -> str:
    text = "The main loop, or a duty of the scheduler, has not got on for %(seconds).0f s."
    return say(text, code="hanging", seconds=seconds)


# A small HTTP server in a thread of a worker or scheduler, for probes and scrapes.


logger = logging.getLogger("django_jobs")

#: How long a client may take to send the line and the headers of its request, and then for the rest.
REQUEST_SECONDS: Final = 2.0
MAX_SECONDS: Final = 10.0
#: A client that takes nothing of its answer for so long is let go.
SILENT_SECONDS: Final = 2.0
#: So many clients are answered at once. For one more, the client whose time is over first is let go.
MAX_CLIENTS: Final = 16
POLL_SECONDS: Final = 0.2


class Reply(NamedTuple):
    """An answer over HTTP."""

    code: int
    content_type: str
    body: bytes


def json_reply(code: int, value: Any) -> Reply:
    """Return a reply with a value as JSON."""
    return Reply(code, "application/json", json.dumps(value).encode() + b"\n")


#: What is answered at each path; the argument is the header Accept.
Routes = Mapping[str, Callable[[str], Reply]]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at this port; without a host at all addresses of this machine.

    Raises OSError where somebody else does, or the host is not this machine.
    """
    if not host and socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # no IPv6 on this machine, or the port is taken, which is told below
            return _closed_in_forks(socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True))
    family = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0][0]  # noqa: S104  (told above)
    return _closed_in_forks(socket.create_server((host, port), family=family))


def _closed_in_forks(listening: socket.socket) -> socket.socket:
    """Have processes that are forked from this one close it: else a child that outlives it would hold the port."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=listening.close)
    return listening


class ProbeServer:
    """Answers at a socket that listens, in threads, from :meth:`start` to :meth:`pause`. Who comes meanwhile waits."""

    def __init__(self, listening: socket.socket, routes: Routes) -> None:
        self._server = _Server(listening, routes)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port at which it listens."""
        return int(self._server.socket.getsockname()[1])

    def start(self) -> None:
        """Answer from now on; nothing where it does already."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[POLL_SECONDS], name="probes", daemon=True
        )
        self._thread.start()

    def pause(self) -> None:
        """End all threads of it, within the time that a client may take at most."""
        if self._thread is not None:
            self._server.shutdown()
            self._server.hang_up(math.inf)
            self._server.wait()
            _wait_for_end(self._thread)
            self._thread = None

    def close(self) -> None:
        """Free the port."""
        self.pause()
        self._server.socket.close()


def _wait_for_end(thread: threading.Thread) -> None:
    """Wait until a thread has ended, for the system as well: before Python 3.13 that is a moment after its join."""
    thread.join()
    task = Path(f"/proc/self/task/{thread.native_id}")
    deadline = time.monotonic() + 1.0
    while task.exists() and time.monotonic() < deadline:
        time.sleep(0.001)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listening: socket.socket, routes: Routes) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.routes = routes
        #: Until when each client has time.
        self._clients: dict[socket.socket, float] = {}
        self._threads: list[threading.Thread] = []
        self._places = threading.BoundedSemaphore(MAX_CLIENTS)

    def process_request(self, request: Any, client_address: Any) -> None:
        wait = 0.0
        while not self._places.acquire(timeout=wait):
            self.hang_up(min(list(self._clients.values()), default=0.0))
            wait = POLL_SECONDS
        self._clients[request] = time.monotonic() + REQUEST_SECONDS
        thread = threading.Thread(target=self._serve, args=[request, client_address], name="probe", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # for the moment the system has no thread left: the client is let go, its place is free
            self._clients.pop(request, None)
            self._places.release()
            raise
        self._threads = [other for other in self._threads if other.is_alive()] + [thread]

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._clients.pop(request, None)
            self._places.release()

    def has_read(self, request: Any) -> None:
        """Give a client that has sent its request the time for its answer."""
        if request in self._clients:
            self._clients[request] = time.monotonic() + MAX_SECONDS

    def service_actions(self) -> None:
        """Let go of clients that take too long. Called between requests, and several times a second."""
        self.hang_up(time.monotonic())

    def hang_up(self, until: float) -> None:
        """Let go of clients that have time until this moment at most."""
        for request, end in list(self._clients.items()):
            if end <= until and self._clients.pop(request, None) is not None:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def wait(self) -> None:
        """Wait for the threads of all clients."""
        for thread in self._threads:
            _wait_for_end(thread)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("event=probe_failed client=%s error=%r", client_address, sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = SILENT_SECONDS
    # Else the end of a long answer waits for the client's word that it got the beginning, which some delay.
    disable_nagle_algorithm, wbufsize = True, -1
    server_version, sys_version = "django-jobs", ""

    def parse_request(self) -> bool:
        is_read = super().parse_request()
        if is_read:
            self.server.has_read(self.connection)
        return is_read

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _refuse(self) -> None:
        self._send(json_reply(405, {"detail": "Only GET and HEAD are answered here."}), {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815  (the library's names)

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        make = self.server.routes.get(path.rstrip("/") or "/")
        if make is None:
            known = ", ".join(sorted(self.server.routes))
            self._send(json_reply(404, {"detail": f"There is nothing here. Known are {known}."}))
            return
        try:
            reply = make(self.headers.get("Accept", ""))
        except Exception:
            logger.exception("event=probe_failed path=%s", path)
            reply = json_reply(500, {"detail": "This cannot be answered; the log says why."})
        self._send(reply)

    def _send(self, reply: Reply, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(reply.code)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
        logger.debug("event=probed client=%s %s", self.client_address[0], format % args)
