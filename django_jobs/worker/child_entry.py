"""A child process, from the moment at which Django is set up to its exit code."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from typing import NoReturn

from django_jobs.engine import logs, ports
from django_jobs.engine.insight import signal_delivery
from django_jobs.engine.store import line_watch, worker_lines
from django_jobs.worker.child import Child
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.exit_codes import RECYCLED, WorkerFailed
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.shared_slots import SharedSlots


def run(name: str, options: WorkerOptions, slots: SharedSlots, supervisor: int) -> int:
    """Run the child ``name`` and return its exit code; ``supervisor`` is a process id. Raises WorkerFailed."""
    logs.install()
    worker_lines.prepare()
    line_watch.start()
    gc.collect()
    gc.freeze()  # what was loaded until now stays for good: no collection looks at it again
    signal_delivery.work_in_background()
    child = Child(ChildState(name, options, ports.get_broker().consumer(name, options.queues), slots), supervisor)
    child.run()
    signal_delivery.stop()
    return RECYCLED if child.is_recycled else 0


def exit_after(work: Callable[[], int], name: str) -> NoReturn:
    """Do the work of the child ``name``, and end this process with the exit code that it returns."""
    code = 1
    try:
        code = work()
    except WorkerFailed as reason:
        code = reason.code
        logging.getLogger("django_jobs").warning("event=worker_gave_up worker=%s reason=%s", name, reason)
    except Exception:
        logging.getLogger("django_jobs").exception("event=worker_failed")
    finally:
        logging.shutdown()
        os._exit(code)  # threads that a handler left behind must not keep the process alive
