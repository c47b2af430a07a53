"""``manage.py demo`` as a person sees it."""

from __future__ import annotations

import urllib.request

from django.conf import settings

from tests.support.addresses import free_port
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

PATIENCE = 180.0
#: Its last kill comes when less than a third of the work is done, so that on a busy machine, too, work is left then.
SEED = 2278


def test_the_demos_terminal_shows_its_welcome_and_no_log(processes: ProcessPool) -> None:
    port = free_port()
    demo = processes.start("demo", "--port", str(port), environ={"ALLOWED_HOSTS": "127.0.0.1"})
    demo.wait_for_log("Ctrl+C stops everything.", PATIENCE)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/", timeout=30) as answer:
        assert answer.status == 200
    worker_log = settings.DEMO_LOG_DIR / "worker.log"
    assert f"{worker_log} and web.log" in demo.log()
    # Where the machine is busy, the workers may not have said anything yet.
    wait_until(lambda: "event=" in worker_log.read_text(), PATIENCE, "a line in the worker's log")
    assert demo.stop() == 0

    screen = demo.log().splitlines()
    assert "event=submitted" in (settings.DEMO_LOG_DIR / "demo.log").read_text()
    assert '"GET /api/ HTTP/1.1" 200' in (settings.DEMO_LOG_DIR / "web.log").read_text()
    assert [line for line in screen if "event=" in line or "HTTP/1.1" in line] == []
    # The welcome is the last that was said, so that it stays in sight.
    assert screen[screen.index("Ctrl+C stops everything.") :] == [
        "Ctrl+C stops everything.",
        "",
        "Stopping. A job that runs now has 25 s to end; after them it goes back to the queue.",
        "All stopped.",
        "Stopped.",
    ]


def test_an_invoice_run_whose_process_is_killed_at_random_does_each_thing_once(processes: ProcessPool) -> None:
    demo = processes.start("demo", "--kill", "--seed", str(SEED))
    assert demo.wait(PATIENCE) == 0, demo.log()
    screen = demo.log()
    rows = [line for line in screen.splitlines() if "│" in line and "once" in line]
    assert [line.count("once") for line in rows] == [3] * 20
    assert "Completed at attempt 7, after 6 kills." in screen
