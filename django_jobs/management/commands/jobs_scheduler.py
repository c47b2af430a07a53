"""``manage.py jobs_scheduler``: run the scheduler alone."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any

from django_jobs.engine import claimed_job
from django_jobs.engine.insight import events
from django_jobs.engine.scheduler import Scheduler
from django_jobs.management.long_running import LongRunningCommand


class Command(LongRunningCommand):
    help = "Runs the scheduler alone, for setups whose workers run with --no-scheduler."

    def handle(self, *args: Any, **options: Any) -> None:
        self.await_database()
        claimed_job.install()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._leave(stop))
        events.work_in_background()
        events.tell_process_started("scheduler")
        scheduler = Scheduler(f"{socket.gethostname()[:40]}-{os.getpid()}")
        self.notes.leads = lambda: scheduler.leads
        self.notes.follow(lambda: scheduler.got_on)
        if self.health is not None:
            self.health.work()
        scheduler.run(stop)
        events.stop()

    def _leave(self, stop: threading.Event) -> None:
        self.notes.is_leaving = True
        stop.set()
