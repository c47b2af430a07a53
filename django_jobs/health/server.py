"""The HTTP server of a worker's or scheduler's probes and scrapes, in threads of their own."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from django_jobs.health.notes import Reply, json_reply

logger = logging.getLogger("django_jobs")

#: A client has so long for its request and its answer, from its first moment on. Prometheus waits for 10 s by default.
MAX_SECONDS: Final = 5.0
#: A client that sends nothing, or takes nothing of its answer, for so long is let go.
SILENT_SECONDS: Final = 2.0
#: So many clients are answered at once. Others wait, and their time runs.
MAX_CLIENTS: Final = 16

#: What is answered at each path; the argument is the header Accept.
Routes = Mapping[str, Callable[[str], Reply]]


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at this port; without a host at all addresses of this machine.

    Raises OSError where somebody else does, or the host is not this machine.
    """
    if not host and socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # no IPv6 on this machine, or the port is taken, which is told below
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0][0]  # noqa: S104  (told above)
    return socket.create_server((host, port), family=family)


class ProbeServer(ThreadingHTTPServer):
    """The library's, from its start until it is closed; its threads are a bounded pool, its clients have little time.

    No process is forked from one that has such a server: it would hold the port.
    """

    def __init__(self, host: str, port: int, routes: Routes) -> None:
        """Listen and answer. Raises OSError where nothing can listen."""
        listening = _listen(host, port)
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket, self.server_port = listening, listening.getsockname()[1]
        self.routes = routes
        self._pool = ThreadPoolExecutor(MAX_CLIENTS, thread_name_prefix="probe")
        #: Until when each client has time.
        self._clients: dict[socket.socket, float] = {}
        self._thread = threading.Thread(target=self.serve_forever, name="probes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Free the port, and let go of the clients."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        self._hang_up(math.inf)
        self._pool.shutdown()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._clients[request] = time.monotonic() + MAX_SECONDS
        self._pool.submit(self.process_request_thread, request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._clients.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Let go of clients whose time is over: a client that sends byte by byte is never silent."""
        self._hang_up(time.monotonic())

    def _hang_up(self, until: float) -> None:
        for request, end in list(self._clients.items()):
            if end <= until:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("event=probe_failed client=%s error=%r", client_address, sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: ProbeServer
    timeout = SILENT_SECONDS
    # Else the end of a long answer waits for the client's word that it got the beginning, which some delay.
    disable_nagle_algorithm, wbufsize = True, -1
    server_version, sys_version = "django-jobs", ""

    def do_GET(self) -> None:
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

    do_HEAD = do_GET  # noqa: N815  (the library's name)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.code)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
        logger.debug("event=probed client=%s %s", self.client_address[0], format % args)
