"""What a supervisor does about a handler that does not stop, and about a child that does not get on."""

from __future__ import annotations

import logging
import time
from typing import Final

from django_jobs.conf import jobs_settings
from django_jobs.texts import say
from django_jobs.worker.children import ChildProcess
from django_jobs.worker.lease_renewer import LeaseRenewer
from django_jobs.worker.shared_slots import OccupiedSlot, StopRequest

logger = logging.getLogger("django_jobs")

#: A child that claims or settles for so long without getting on is killed. Longer than handlers take to be imported; a
#: line that got no answer is given up long before.
STALL_SECONDS: Final = 300.0
IGNORED_CANCEL: Final = say("The handler did not stop when it was canceled", code="ignored_cancel")
IGNORED_TIMEOUT: Final = say("The handler did not stop at its timeout", code="ignored_timeout")
SHUT_DOWN: Final = say("The worker was shut down", code="worker_stopped")


def stop_what_must(child: ChildProcess, item: OccupiedSlot, leases: LeaseRenewer) -> None:
    """Pass a cancel on, and kill the process of a handler that does not stop."""
    grace = float(jobs_settings.CANCEL_GRACE_SECONDS)
    requested = leases.canceled.get(item.key)
    if requested is not None:
        child.request_stop(item, StopRequest.CANCEL)
        if time.monotonic() - max(requested, item.started) > grace:
            child.kill_for(item, IGNORED_CANCEL, "interrupted")
    elif leases.is_lost(child.name, item):
        child.request_stop(item, StopRequest.LOST)
    if item.ignores_timeout:
        child.kill_for(item, IGNORED_TIMEOUT, "timed_out")


def watch_board(child: ChildProcess, leases: LeaseRenewer) -> None:
    """Kill a child whose loop stands still, or that lets nobody write to the database.

    Hand back what waits behind a handler that holds the interpreter.
    """
    child.watch.look()
    step = child.watch.stalled(STALL_SECONDS)
    if step is not None and child.killed is None and not child.is_frozen():
        logger.error("event=child_stalled worker=%s pid=%s step=%s", child.name, child.pid, step.name.lower())
        reason = say("Its loop stood still while %(step)s", code="loop_stalled", step=step.name.lower())
        child.kill(reason, "interrupted")
    elif child.killed is None and child.watch.keeps_others_from_writing() and not child.is_frozen():
        logger.error("event=child_held_the_database worker=%s pid=%s", child.name, child.pid)
        text = "A handler let nothing else run while another thread wrote to the database"
        child.kill(say(text, code="kept_others_from_writing"), "interrupted")
    if attempts := child.watch.take_revoked():
        leases.hand_back(child.name, attempts)
