"""A child process, from the moment at which Django is set up to its exit code."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from django_jobs.engine import logs, observers, ports
from django_jobs.engine.insight import signal_delivery
from django_jobs.engine.store import line_watch, worker_lines
from django_jobs.engine.store.chosen import store
from django_jobs.worker import process_start
from django_jobs.worker.child import Child
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.exit_codes import RECYCLED, WorkerFailed
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.reported_counts import CountsSender
from django_jobs.worker.shared_slots import SharedSlots
from django_jobs.worker.stacks import leave_stacks_in


def start_forked(arguments: Sequence[Any], descriptors: Sequence[int]) -> NoReturn:
    """Run a child in this process, which was forked for it: :func:`start` with these arguments and descriptors."""
    (name, options, supervisor), (shared_slots, stacks, *counts) = arguments, descriptors
    leave_stacks_in(stacks)
    os.environ.update(process_start.environment())  # for what handlers start, as in a fresh process
    if "numpy" in sys.modules:  # else all children draw the same numbers; Python's own are seeded anew
        sys.modules["numpy"].random.seed()
    start(name, options, supervisor, shared_slots, *counts)


def start(name: str, options: str, supervisor: int, shared_slots: int, counts: int | None = None) -> NoReturn:
    """Run the child ``name`` in this process, and end it with the exit code.

    ``options`` are JSON, ``supervisor`` is a process id, ``shared_slots`` and ``counts`` are descriptors that this
    process has got; without ``counts`` it counts nothing.
    """
    given = WorkerOptions.from_json(options)
    slots = SharedSlots(shared_slots, given.slots)
    exit_after(lambda: run(name, given, slots, supervisor, counts), name)


def run(name: str, options: WorkerOptions, slots: SharedSlots, supervisor: int, counts: int | None = None) -> int:
    """Run the child ``name`` and return its exit code; ``supervisor`` is a process id. Raises WorkerFailed."""
    logs.install()
    worker_lines.prepare()
    store().while_writing = slots.board.writing
    line_watch.start()
    gc.collect()
    gc.freeze()  # what was loaded until now stays for good: no collection looks at it again
    signal_delivery.work_in_background()
    signal_delivery.tell_process_started("child")
    state = ChildState(name, options, ports.get_broker().consumer(name, options.queues), slots)
    state.counts = None if counts is None else CountsSender(counts)
    child = Child(state, supervisor)
    try:
        child.run()
    finally:
        if state.counts is not None:
            state.counts.send()
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
        observers.drain()
        logging.shutdown()
        os._exit(code)  # threads that a handler left behind must not keep the process alive
