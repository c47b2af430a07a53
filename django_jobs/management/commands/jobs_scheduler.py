"""``manage.py jobs_scheduler``: run the scheduler alone."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any

from django_jobs.engine import logs
from django_jobs.engine.insight import signal_delivery
from django_jobs.engine.scheduler import Scheduler
from django_jobs.engine.store import line_watch
from django_jobs.management.base import WaitingCommand, await_database


class Command(WaitingCommand):
    help = "Runs the scheduler alone, for setups whose workers run with --no-scheduler."

    def handle(self, *args: Any, **options: Any) -> None:
        await_database(self.stderr)
        logs.install()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        signal_delivery.work_in_background()
        line_watch.start()
        signal_delivery.tell_process_started("scheduler")
        Scheduler(f"{socket.gethostname()[:40]}-{os.getpid()}").run(stop)
        signal_delivery.stop()
