"""Moves sets of jobs from status to status, guarded by where each job is now."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from django_jobs.engine.actors import WORKER, Actor
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.claim_rows import Row
from django_jobs.engine.store.transition_values import ALWAYS, After, Condition, Move, Moved, Terms, Waypoint
from django_jobs.engine.transitions import hooks
from django_jobs.models.batch import COUNTED
from django_jobs.statuses import DISPATCHABLE, TERMINAL, Status, may_move


def move(  # noqa: PLR0913  (all terms of a move)
    moves: Sequence[Move],
    *,
    sources: Iterable[str],
    actor: Actor,
    worker_name: str = "",
    skip_locked: bool = False,
    only_due: bool = False,
    only_own: bool = False,
    only_if: Condition = ALWAYS,
    via: Waypoint | None = None,
    loudest: int = logging.CRITICAL,
) -> list[Moved]:
    """Move jobs, and return those that moved; the others were no longer where the caller thought.

    ``sources`` are the statuses that the jobs may come from; ``skip_locked`` leaves out rows that another
    transaction holds, ``only_due`` those whose ``ready_at`` has not come, ``only_own`` those that do not run in
    ``worker_name``; ``only_if`` is asked in the same statement where the database can; ``via`` is a status that they
    pass, with its own log row, where the store ``passes_waypoints``; ``loudest`` is the highest level at which it is
    logged. Atomic: all of it or nothing. ``moves`` may hold a job once.
    """
    if not moves:
        return []
    terms = Terms(
        sources=sorted(sources),
        actor=actor,
        worker_name=worker_name,
        skip_locked=skip_locked,
        only_due=only_due,
        only_own=only_own,
        only_if=only_if,
        via=via,
    )
    _refuse_unknown_ways(terms, {item.to_status for item in moves})
    moved = store().move([_with_readiness(item) for item in moves], terms)
    steps = moved if via is None else [step for item in moved for step in (_passed(item, via), item)]
    hooks.announcer().changed(steps, loudest)
    if any(item.has_children and item.to_status in TERMINAL for item in moved):
        database.once_on_commit(hooks.follow_up)
    batches = Counter(item.batch_id for item in moved if item.batch_id is not None and _counts(item))
    if batches:
        database.on_commit(lambda: hooks.count_batches(batches))
    return moved


def _counts(item: Moved) -> bool:
    return item.to_status in COUNTED or item.from_status in COUNTED


def claim_known(item: Move, known: Sequence[Row], *, worker_name: str) -> tuple[Moved, Row] | None:
    """Move a queued job to Running and return what happened and its row as it was; see :class:`Claims` of the store."""
    terms = Terms(sources=[Status.QUEUED], actor=WORKER, worker_name=worker_name, skip_locked=True)
    found = store().claim_known(_with_readiness(item), terms, known)
    if found is not None:
        hooks.announcer().changed([found[0]])
    return found


def _passed(item: Moved, via: Waypoint) -> Moved:
    """Return what happened to a job before it came where it is. An attempt begins only behind the waypoint."""
    return Moved(
        pk=item.pk,
        from_status=item.via_from,
        to_status=via.status,
        attempt=item.attempt - 1,
        job_type=item.job_type,
        organization_name=item.organization_name,
        priority=item.priority,
        year=item.year,
        message="",
        actor=via.actor,
        worker_name="",
        log_id=item.via_log_id,
        organization_id=item.organization_id,
        queued_at=item.queued_at,
    )


def _refuse_unknown_ways(terms: Terms, targets: Iterable[str]) -> None:
    ways = [*itertools.product(terms.sources, targets)]
    if terms.via is not None:
        ways = [(source, terms.via.status) for source in terms.sources]
        ways += [(terms.via.status, target) for target in targets]
    for source, target in ways:
        if not may_move(source, target):
            raise ValueError(f"There is no way from {source} to {target}.")


def _with_readiness(item: Move) -> Move:
    """Say whether a job that will wait for dispatch waits for a moment to come, and that any other is not ready.

    That is said even where its row says so already: PostgreSQL checks constraints on the row as the statement's
    snapshot has it, before it notices that a concurrent move, which the lock waited for, has emptied ``ready_at``.
    """
    if "ready_at" in item.values:
        ready_at = item.values["ready_at"]
        if ready_at is None or "is_delayed" in item.values:
            return item
        return replace(item, values={**item.values, "is_delayed": isinstance(ready_at, After) and ready_at.seconds > 0})
    if item.to_status in DISPATCHABLE:
        return item
    return replace(item, values={**item.values, "ready_at": None})
