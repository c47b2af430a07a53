"""Firing: each moment of a schedule once, however many schedulers run and whatever dies.

One transaction locks the schedule's row, submits the jobs, and marks the firing. Who does not get the row leaves it to
whom has it, and who dies leaves no trace, so that the next one fires.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from django.db import Error
from django.db.models import F, Window
from django.db.models.functions import RowNumber

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import beside, may_hang
from django_jobs.engine.actors import actor_for
from django_jobs.engine.deadlines import Late
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.insight.events import on_one_line
from django_jobs.engine.schedules import faults
from django_jobs.engine.schedules.definitions import next_run
from django_jobs.engine.schedules.schedule_rights import get_schedule, not_found
from django_jobs.engine.schedules.schedule_submission import (
    POLICY_FAILED,
    UNFINISHED_JOB,
    Result,
    ask_ahead,
    submit_for,
)
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.engine.store import database
from django_jobs.engine.store.base.transactions import Moment
from django_jobs.exceptions import PolicyFailed, RetryableRefusal
from django_jobs.models import Schedule, ScheduleFiring
from django_jobs.models.schedule import CatchUp
from django_jobs.texts import code_of, say

logger = logging.getLogger("django_jobs")

#: Schedules of one organization that one look finds.
TURNS: Final = 10
#: Seconds after which a round that has given each organization a turn ends, for those that became due meanwhile.
ROUND_SECONDS: Final = 0.5
#: Seconds for which a schedule rests whose firing broke, so that it does not hold up the others again and again.
REST: Final = 30.0
#: Seconds until it is looked at again whether a firing goes on that takes long.
LATE_REST: Final = 1.0
_TICK: Final = dt.timedelta(microseconds=1)
T = TypeVar("T")
Outcome = ScheduleFiring.Outcome


def fire_round(now: dt.datetime | None = None, rests_until: dict[int, float] | None = None) -> list[ScheduleFiring]:
    """Fire schedules that are due, each once, and return the firings.

    Organizations take turns, each with its earliest. However many are due of one, another's waits for one firing of
    each at most. One that has more to catch up takes its turn again in the next round. One that cannot fire stops no
    other: that is noted in its history, or, where not even that can be, logged. One that takes long, since the access
    policy hangs for its organization, goes on beside the others. ``now`` is the database's time, or the moment to act
    as if it was; ``rests_until`` remembers for the caller until when, on the monotonic clock, a schedule rests whose
    firing broke.
    """
    rests_until = {} if rests_until is None else rests_until
    due = Schedule.primary.filter(next_run_at__lte=now or Moment()).exclude(pk__in=resting(rests_until))
    turn = Window(RowNumber(), partition_by=[F("organization_key")], order_by=[F("next_run_at"), F("pk")])
    rows = due.annotate(turn=turn).filter(turn__lte=TURNS).order_by("turn", "next_run_at", "pk")
    fired: list[ScheduleFiring] = []
    ends_at = time.monotonic() + ROUND_SECONDS
    found_due: Any = rows.values_list("pk", "turn", "organization_id")
    with dispatcher.one_pass():
        for pk, number, organization_pk in found_due:
            if number > 1 and time.monotonic() >= ends_at:
                break
            is_for_all = organization_pk is None
            fire = partial(_try_to_fire, pk, now, rests_until, is_for_all=is_for_all)
            try:
                found = beside(("schedule", pk) if is_for_all else organization_pk, fire)
            except Late:
                rests_until[pk] = max(rests_until.get(pk, 0.0), time.monotonic() + LATE_REST)
                continue
            fired += [] if found is None else [found]
    return fired


def resting(rests_until: Mapping[int, float]) -> set[int]:
    """Return the schedules that rest at this moment, since their firing broke. They stay due meanwhile."""
    now = time.monotonic()
    return {pk for pk, until in list(rests_until.items()) if until > now}


def _try_to_fire(
    pk: int, now: dt.datetime | None, rests_until: dict[int, float], *, is_for_all: bool
) -> ScheduleFiring | None:
    try:
        found = fire_one(pk, now, is_for_all=is_for_all)
    except Exception as error:  # noqa: BLE001  (the others are to fire)
        broke_before = pk in rests_until
        rests_until[pk] = time.monotonic() + REST
        database.mend_connections()
        _note_broken(pk, error, is_told=broke_before or faults.is_refusal(error))
        return None
    rests_until.pop(pk, None)
    return found


def _note_broken(pk: int, error: Exception, *, is_told: bool) -> None:
    """Note that a firing broke where it must not. The schedule stays due, and is tried again after its rest.

    The database's own trouble may be over by then, and is only logged the first time. What breaks again stands on the
    schedule: it may be the firing that is at fault, such as one whose policy is so slow that the server hangs up. A
    policy that fails stands there at once.
    """
    if not is_told:
        logger.warning("event=schedule_firing_broke schedule_pk=%s error=%r", pk, error)
        return

    def note() -> None:
        schedule = database.locked(Schedule.primary.filter(pk=pk), skip=True).first()
        if schedule is not None:
            faults.mark(schedule, faults.told(error), database.now(), error)
            schedule.save(using=database.alias(), update_fields=["fault", "faulty_since"])

    with contextlib.suppress(Error):
        database.in_transaction(note)


def fire_one(pk: int, now: dt.datetime | None = None, *, is_for_all: bool = False) -> ScheduleFiring | None:
    """Fire a schedule for one moment that is due; None where none is, or somebody else fires it at this moment.

    ``is_for_all`` tells that it may be one for every organization.
    """
    tenants = ask_ahead(pk) if is_for_all or may_hang() else {}

    def fire(refusal: Exception | None) -> ScheduleFiring | None:
        row = database.locked(Schedule.primary.filter(pk=pk).annotate(moment=Moment()), skip=True).first()
        if row is None or (row.organization_id is None and not is_for_all):  # it was changed to one for all: next round
            return None
        return _fire(row, now or row.moment, refusal, tenants)

    return _noted(fire, raises=PolicyFailed)


def _noted(fire: Callable[[Exception | None], T], raises: type[Exception] | tuple[()] = ()) -> T:
    """Fire in a transaction. A refusal of the submission undoes all of it, and is noted in another transaction."""
    try:
        return database.in_transaction(lambda: fire(None))
    except Exception as error:
        if not faults.is_refusal(error) or isinstance(error, raises):
            raise
        refusal = error
    return database.in_transaction(lambda: fire(refusal))


def _fire(
    schedule: Schedule, now: dt.datetime, refusal: Exception | None, tenants: Mapping[Any, bool]
) -> ScheduleFiring | None:
    if schedule.next_run_at is None or schedule.next_run_at > now:
        return None
    missed = rule_of(schedule).latest(schedule.next_run_at - _TICK, now) or [schedule.next_run_at]
    due, is_late = _chosen(schedule, missed, now)
    firing = _missed(schedule, due, now) if is_late else _submit(schedule, due, now, refusal, tenants)
    schedule.last_fired_at = due
    schedule.next_run_at = missed[1] if _is_each(schedule) and len(missed) > 1 else next_run(schedule, now)
    schedule.save(using=database.alias(), update_fields=["last_fired_at", "next_run_at", "fault", "faulty_since"])
    return firing


def _is_each(schedule: Schedule) -> bool:
    return schedule.catch_up == CatchUp.ALL


def _chosen(schedule: Schedule, missed: list[dt.datetime], now: dt.datetime) -> tuple[dt.datetime, bool]:
    """Return for which of the moments it fires now, and whether it is too late for that.

    As long as a change of the leader takes, LEASE_SECONDS, a firing counts as on time.
    """
    due = missed[0] if _is_each(schedule) else missed[-1]
    is_late = now - due > dt.timedelta(seconds=float(jobs_settings.LEASE_SECONDS))
    return due, is_late and schedule.catch_up == CatchUp.SKIP


def _missed(schedule: Schedule, due: dt.datetime, now: dt.datetime) -> ScheduleFiring:
    return _write(
        schedule, due, now, Outcome.SKIPPED, Result(), say("Nobody could fire it when it was due.", code="missed")
    )


def _submit(
    schedule: Schedule,
    due: dt.datetime,
    now: dt.datetime,
    refusal: Exception | None,
    tenants: Mapping[Any, bool],
    actor: str = "",
) -> ScheduleFiring:
    """Submit, or take the refusal of a submission before, and write what came of it."""
    if refusal is not None:
        reason = faults.told(refusal)
        faults.mark(schedule, reason, now, refusal)
        # A refusal by a limit is not the schedule's fault, and may be over at its next moment.
        outcome = Outcome.SKIPPED if isinstance(refusal, RetryableRefusal) else Outcome.FAILED
        return _write(schedule, due, now, outcome, Result(), reason, actor)
    result = submit_for(schedule, due, now, tenants)
    note = result.note()
    if result.is_for_nobody or POLICY_FAILED in result.skipped:
        faults.mark(schedule, note, now)
    elif result.submitted or UNFINISHED_JOB in result.skipped:
        faults.clear(schedule)
    outcome = Outcome.SUBMITTED if result.submitted else Outcome.SKIPPED
    return _write(schedule, due, now, outcome, result, note, actor)


def _write(
    schedule: Schedule,
    due: dt.datetime,
    now: dt.datetime,
    outcome: str,
    result: Result,
    note: str,
    actor: str = "",
) -> ScheduleFiring:
    firing = ScheduleFiring(
        schedule=schedule,
        due_at=due,
        fired_at=now,
        outcome=outcome,
        submitted=result.submitted,
        skipped=result.skipped.total(),
        job_id=result.first,
        note=note,
        actor=actor,
    )
    firing.save(using=database.alias(), force_insert=True)
    firing.note = note  # what the database gives back knows no code
    database.on_commit(
        lambda: logger.info(
            "event=schedule_fired schedule=%s due=%s outcome=%s submitted=%s skipped=%s by=%s",
            on_one_line(str(schedule)),
            due.isoformat(),
            outcome,
            result.submitted,
            firing.skipped,
            on_one_line(actor) or "scheduler",
            extra={"code": code_of(note, "")},
        )
    )
    return firing


def fire_now(schedule: str | int | Schedule, *, user: Any = None) -> ScheduleFiring:
    """Fire a schedule now, enabled or not, and return what came of it; its next firing stays when it is.

    The jobs are submitted in its owner's name, and ``overlap`` holds as ever. A refusal is noted, not raised. Raises
    ScheduleNotFound where there is none that ``user`` manages.
    """
    found = get_schedule(schedule, user=user)
    tenants = ask_ahead(found.pk) if found.organization_id is None else {}

    def fire(refusal: Exception | None) -> ScheduleFiring:
        row = database.locked(Schedule.primary.filter(pk=found.pk)).first()
        if row is None:
            raise not_found(found)
        now = database.now()
        firing = _submit(row, now, now, refusal, tenants, actor_for(user).name)
        row.save(using=database.alias(), update_fields=["fault", "faulty_since"])
        return firing

    return _noted(fire)
