"""Running one claimed job in a slot, whatever goes wrong there."""

from __future__ import annotations

import contextlib
import logging
from typing import Final

from django_jobs.engine import uptime
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution import breakers, leases, ownership
from django_jobs.engine.execution.handler_run import attempt_beside_others, context_for, ended_by, run
from django_jobs.engine.execution.outcomes import NotBegun, Outcome
from django_jobs.texts import say
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.interruption import Interrupter, SlotRunner
from django_jobs.worker.task_interruption import TaskInterrupter

logger = logging.getLogger("django_jobs")

LEASE_OVER: Final = say("Handed back before it began: its lease was over", code="lease_over")
CANCELED: Final = say("Handed back before it began: it was canceled", code="canceled")
OTHERS_FAILED: Final = say("Handed back before it began: others of its type failed", code="breaker_open")
#: Nothing that was claimed less than so many seconds ago is asked about its lease.
FRESH_SECONDS: Final = 1.0


def run_in(state: ChildState, slot: int, claimed: Claimed, interrupter: Interrupter) -> None:
    """Run a job in a slot. Whatever goes wrong, the shared slot is freed and the outcome handed over."""
    try:
        outcome: Outcome = _begin(state, slot, claimed) or run(
            claimed, context_for(claimed, _runner(state, claimed, interrupter))
        )
    except BaseException as error:
        logger.exception("event=run_failed worker=%s job_id=%s", state.name, claimed.job_id)
        outcome = ended_by(claimed, error)
    _hand_over(state, slot, outcome, interrupter)


async def run_in_loop(state: ChildState, slot: int, claimed: Claimed, interrupter: TaskInterrupter) -> None:
    """Run a coroutine in a slot, in the loop that runs already; else as :func:`run_in`."""
    try:
        context = context_for(claimed, _runner(state, claimed, interrupter))
        outcome = await attempt_beside_others(claimed, context, interrupter, _Place(state, slot, claimed))
    except BaseException as error:
        logger.exception("event=run_failed worker=%s job_id=%s", state.name, claimed.job_id)
        outcome = ended_by(claimed, error)
    _hand_over(state, slot, outcome, interrupter)


class _Place:
    """The shared slot of a coroutine."""

    def __init__(self, state: ChildState, slot: int, claimed: Claimed) -> None:
        self._state = state
        self._slot = slot
        self._claimed = claimed

    def begin(self) -> NotBegun | None:
        return _begin(self._state, self._slot, self._claimed)

    def end(self) -> None:
        self._state.shared_slots.end(self._slot)


def _runner(state: ChildState, claimed: Claimed, interrupter: Interrupter) -> SlotRunner:
    claimed.interruption = lambda: interrupter.wanted
    return SlotRunner((claimed.pk, claimed.attempt), state.progress, interrupter)


def _begin(state: ChildState, slot: int, claimed: Claimed) -> NotBegun | None:
    """Announce that a job begins; or return why it must not, so that it goes back."""
    if _has_waited_too_long(state, claimed):
        return NotBegun(claimed=claimed, text=LEASE_OVER)
    if claimed.is_canceled:
        return NotBegun(claimed=claimed, text=CANCELED)
    if claimed.breaker_failures and _is_held(state, claimed):
        return NotBegun(claimed=claimed, text=OTHERS_FAILED)
    state.shared_slots.begin(slot, claimed.pk, claimed.attempt, claimed.timeout_seconds)
    if state.shared_slots.board.is_revoked(claimed.set_number):
        return NotBegun(claimed=claimed, text=leases.HELD_UP)
    return None


def _is_held(state: ChildState, claimed: Claimed) -> bool:
    """Return whether the breaker of the job's type opened since its claim, or will when what ended here is stored."""
    return breakers.is_known_open(claimed) or breakers.have_failed_too_often(state.batch.ended_unsettled(), claimed)


def _has_waited_too_long(state: ChildState, claimed: Claimed) -> bool:
    """Return whether the lease ran out before the handler began, as in a process that was frozen meanwhile."""
    is_fresh = uptime.seconds() - claimed.claimed_at < FRESH_SECONDS
    return not is_fresh and ownership.has_run_out(claimed, state.shared_slots.renewed())


def _hand_over(state: ChildState, slot: int, outcome: Outcome, interrupter: Interrupter) -> None:
    with contextlib.ExitStack() as ending:
        ending.callback(state.batch.add_ended if isinstance(outcome, NotBegun) else state.ended, outcome)
        ending.callback(state.shared_slots.end, slot)
        ending.callback(interrupter.close)
