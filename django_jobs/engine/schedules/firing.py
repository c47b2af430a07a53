"""Firing schedules: the jobs of a firing, why one cannot fire, and the scheduler's clockwork."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from django.db import Error
from django.db.models import Exists, F, OuterRef, Window
from django.db.models.functions import RowNumber

from django_jobs.conf import jobs_settings
from django_jobs.engine import organizations, timing
from django_jobs.engine.access import beside, cause_of, complain, may_hang, owner_of
from django_jobs.engine.actors import actor_for
from django_jobs.engine.deadlines import Late
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.execution.outcomes import is_expected, readable
from django_jobs.engine.insight.events import on_one_line
from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.schedules.definitions import get_schedule, next_run, not_found
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.engine.store import database
from django_jobs.engine.store.base_core import Moment
from django_jobs.engine.store.database import fresh_reads
from django_jobs.engine.submission import submit, targets
from django_jobs.exceptions import JobsError, OrganizationNotFound, PolicyFailed, RetryableRefusal
from django_jobs.models import Job, Schedule, ScheduledJob, ScheduleFiring
from django_jobs.models.organization import get_organization_model
from django_jobs.models.schedule import CatchUp, Overlap
from django_jobs.statuses import UNFINISHED
from django_jobs.texts import code_of, say

logger = logging.getLogger("django_jobs")

# Why a schedule cannot fire: it stands on its row, and in the log, from the first firing that fails on.


#: Characters of a note.
MAX_NOTE: Final = 2_000


def is_refusal(error: Exception) -> bool:
    """Return whether an error is the schedule's own: not one of the database, which may be over in a moment."""
    return isinstance(error, JobsError | PolicyFailed) or not (
        database.is_lost_connection(error) or database.is_lost_race(error) or database.was_too_slow(error)
    )


def told_fault(error: Exception) -> str:
    """Return what people read of an error: of one that was not made for them its class alone, as of a job's error."""
    text = clean_text(error if isinstance(error, JobsError) else readable(cause_of(error)), MAX_NOTE)
    if isinstance(error, PolicyFailed):
        return say("The access policy failed: %(error)s", code="policy_failed", error=text)
    return say(text, code=error.code if isinstance(error, JobsError) else "error")


def mark_fault(schedule: Schedule, reason: str, now: dt.datetime, error: Exception | None = None) -> None:
    """Note the reason on the schedule. When that begins, the log has it, of the host's errors with the traceback."""
    if not schedule.fault:
        name, cause = str(schedule), None if error is None or is_expected(error) else cause_of(error)
        database.on_commit(
            lambda: logger.warning(
                "event=schedule_cannot_fire schedule=%s reason=%s",
                on_one_line(name),
                on_one_line(reason),
                exc_info=cause,
                extra={"code": code_of(reason, "")},
            )
        )
        schedule.faulty_since = now
    schedule.fault = reason


def clear_fault(schedule: Schedule) -> None:
    """Forget the reason: the schedule fires again, which the log has once."""
    if schedule.fault:
        name = str(schedule)
        database.on_commit(lambda: logger.info("event=schedule_fires_again schedule=%s", on_one_line(name)))
    schedule.fault, schedule.faulty_since = "", None


# The jobs of one firing: one for the schedule's organization, or one for each active organization, in sets.


#: Organizations that are read and get their jobs at once.
PAGE: Final = 2_000
UNFINISHED_JOB: Final = "last_job_unfinished"
POLICY_FAILED: Final = "policy_failed"
LIMITS: Final = frozenset({"rate_limited", "queue_full"})
#: What a firing says of organizations that got no job, by the reason.
REASONS: Final = {
    UNFINISHED_JOB: "the last job is unfinished",
    submit.INACTIVE: "the organization is not active",
    submit.DUPLICATE: "the same work is there already",
    "rate_limited": "the rate limit is reached",
    "queue_full": "the backlog is full",
    POLICY_FAILED: "the access policy failed",
}


@dataclass(slots=True)
class Result:
    """What one firing submitted: how many jobs, the first of them, and how many organizations got none, and why."""

    submitted: int = 0
    first: int | None = None
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def is_for_nobody(self) -> bool:
        """Return whether no organization could have a job: none is there, or active, or within its limits."""
        reasons = set(self.skipped)
        return not self.submitted and (reasons <= {submit.INACTIVE} or bool(reasons & LIMITS))

    def note(self) -> str:
        """Return why organizations got no job, in words."""
        if not self.skipped:
            return "" if self.submitted else say("There is no organization.", code="no_organization")
        total = self.submitted + self.skipped.total()
        parts = [
            REASONS[reason] if total == 1 else f"{REASONS[reason]} ({count})"
            for reason, count in sorted(self.skipped.items())
        ]
        text = "; ".join(parts)
        return say(f"{text[:1].upper()}{text[1:]}.", code=" ".join(sorted(self.skipped)))


def ask_ahead(schedule_pk: int) -> dict[Any, bool]:
    """Ask the policy what the firing will ask, outside its transaction, which a policy that hangs would undo.

    Return, of a schedule for all organizations, the key of each, and whether the policy answers for it. Raises
    PolicyFailed where it does not for a schedule's one organization.
    """
    schedule = Schedule.primary.filter(pk=schedule_pk).select_related("job_type", "organization", "owner").first()
    answers: dict[Any, bool] = {}
    if schedule is None or (schedule.organization_id is not None and schedule.organization is None):
        return answers
    with fresh_reads():
        if schedule.organization is not None:
            targets.ask_ahead(schedule.organization, schedule.owner, schedule.job_type)
            return answers
        for organization in itertools.chain.from_iterable(_pages()):
            answers[organization.pk] = True
            try:
                targets.ask_ahead(organization, schedule.owner, schedule.job_type)
            except PolicyFailed as error:
                complain(error)
                answers[organization.pk] = False
    return answers


def submit_for(schedule: Schedule, due: dt.datetime, now: dt.datetime, tenants: Mapping[Any, bool]) -> Result:
    """Submit the jobs of a firing inside the open transaction. A refusal is raised as a submission's is.

    ``tenants`` are what :func:`ask_ahead` returned: of a schedule for all, those have none for which the policy fails.
    """
    with fresh_reads():
        firing = _Firing(schedule, due, now, owner_of(schedule, schedule.name))
        if schedule.organization_id is None:
            firing.submit_for_each(tenants)
        else:
            firing.submit_one(get_organization_model()(pk=schedule.organization_id))
    return firing.result


def offset_of(schedule_name: str, organization_key: object, jitter: int) -> dt.timedelta:
    """Return by how much an organization's job comes later than the firing: the same each time, below ``jitter``."""
    if not jitter:
        return dt.timedelta()
    digest = hashlib.sha256(f"{schedule_name}\n{organization_key}".encode()).digest()
    return dt.timedelta(seconds=int.from_bytes(digest[:8], "big") % jitter)


class _Firing:
    """One firing of a schedule, which puts what it submitted into ``result``."""

    def __init__(self, schedule: Schedule, due: dt.datetime, now: dt.datetime, user: Any) -> None:
        self.result = Result()
        self._schedule, self._user = schedule, user
        # What is caught up is spread from now on: all of it would else be due at once.
        is_on_time = now - due <= dt.timedelta(seconds=float(jobs_settings.LEASE_SECONDS))
        self._spread_from = due if is_on_time else now
        scheduled_for = rule_of(schedule).local(due).isoformat()
        self._given: Mapping[str, Any] = {
            "parameters": schedule.parameters,
            "priority": schedule.priority,
            "metadata": {"schedule": schedule.name, "scheduled_for": scheduled_for},
            "deduplication_window": 0,  # the type's window must not swallow a firing
        }

    def submit_one(self, organization: Any) -> None:
        """Submit one job, unless the last one is unfinished."""
        if self._unfinished([str(organization.pk)]):
            self.result.skipped[UNFINISHED_JOB] += 1
            return
        given = {**self._given, "run_at": self._run_at(organization) if self._schedule.jitter else None}
        name = self._schedule.job_type_id
        job, _ = submit.submit_or_find(name, organization, given, self._user)
        self._note([job])

    def submit_for_each(self, tenants: Mapping[Any, bool]) -> None:
        """Submit one job for each active organization whose last one is not unfinished."""
        run_at: Callable[[Any], dt.datetime] | None = self._run_at if self._schedule.jitter else None
        model, keys = get_organization_model(), iter(tenants)
        while page := list(itertools.islice(keys, PAGE)):
            busy = self._unfinished([str(pk) for pk in page])
            wanted = [model(pk=pk) for pk in page if str(pk) not in busy and tenants[pk]]
            submitted = self._submit_each(wanted, run_at)
            self.result.skipped[UNFINISHED_JOB] += len(busy)
            self.result.skipped[POLICY_FAILED] += len(page) - len(busy) - len(wanted)
            self.result.skipped.update(submitted.skipped.values())
            self._note(submitted.submitted)
        self.result.skipped += Counter()  # without those that are 0

    def _submit_each(self, wanted: list[Any], run_at: Callable[[Any], dt.datetime] | None) -> submit.ForEach:
        """Submit for these organizations; for those that are left where one was deleted since they were read."""
        submit_each = partial(submit.submit_each, given=self._given, user=self._user, run_at=run_at)
        try:
            return submit_each(self._schedule.job_type_id, wanted)
        except OrganizationNotFound:
            left = database.rows(get_organization_model()).filter(pk__in=[item.pk for item in wanted])
            return submit_each(self._schedule.job_type_id, list(left.order_by("pk")))

    def _run_at(self, organization: Any) -> dt.datetime:
        return self._spread_from + offset_of(self._schedule.name, organization.pk, self._schedule.jitter)

    def _unfinished(self, keys: list[str]) -> set[str]:
        """Return which of these organizations have a job of the firing before that has not ended."""
        if self._schedule.overlap != Overlap.SKIP:
            return set()
        unfinished = Job.primary.filter(pk=OuterRef("job_id"), status__in=sorted(UNFINISHED)).order_by()
        rows = ScheduledJob.primary.filter(Exists(unfinished), schedule_id=self._schedule.pk, organization_key__in=keys)
        return set(rows.values_list("organization_key", flat=True))

    def _note(self, jobs: Iterable[Job]) -> None:
        """Remember which job each organization got last."""
        rows = [
            ScheduledJob(schedule_id=self._schedule.pk, organization_key=str(job.organization_id), job_id=job.pk)
            for job in jobs
        ]
        if not rows:
            return
        self.result.submitted += len(rows)
        self.result.first = self.result.first or rows[0].job_id
        has_target = database.connection().features.supports_update_conflicts_with_target
        ScheduledJob.primary.bulk_create(
            rows,
            update_conflicts=True,
            update_fields=["job_id"],
            unique_fields=["schedule", "organization_key"] if has_target else None,
        )


def _pages() -> Iterator[list[Any]]:
    """Yield all tenants in the order of their keys: the system organization is none."""
    rows = organizations.without(database.rows(get_organization_model())).order_by("pk")
    page = list(rows[:PAGE])
    while page:
        yield page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE]) if len(page) == PAGE else []


# Firing: each moment of a schedule once, however many schedulers run and whatever dies.
#
# One transaction locks the schedule's row, submits the jobs, and marks the firing. Who does not get the row leaves it
# to whom has it, and who dies leaves no trace, so that the next one fires.


#: Schedules of one organization that one look finds.
TURNS: Final = 10
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
    ends_at = time.monotonic() + timing.FIRING_ROUND_SECONDS
    found_due: Any = rows.values_list("pk", "turn", "organization_id")
    with dispatcher.one_pass():
        for pk, number, organization_pk in found_due:
            if number > 1 and time.monotonic() >= ends_at:
                break
            is_for_all = organization_pk is None
            fire = partial(_try_to_fire, pk, now, rests_until, is_for_all=is_for_all)
            try:
                firing = beside(("schedule", pk) if is_for_all else organization_pk, fire)
            except Late:
                rests_until[pk] = max(rests_until.get(pk, 0.0), time.monotonic() + timing.FIRING_LATE_SECONDS)
                continue
            fired += [] if firing is None else [firing]
    return fired


def resting(rests_until: Mapping[int, float]) -> set[int]:
    """Return the schedules that rest at this moment, since their firing broke. They stay due meanwhile."""
    now = time.monotonic()
    return {pk for pk, until in list(rests_until.items()) if until > now}


def _try_to_fire(
    pk: int, now: dt.datetime | None, rests_until: dict[int, float], *, is_for_all: bool
) -> ScheduleFiring | None:
    try:
        firing = fire_one(pk, now, is_for_all=is_for_all)
    except Exception as error:  # noqa: BLE001  (the others are to fire)
        broke_before = pk in rests_until
        rests_until[pk] = time.monotonic() + timing.FIRING_REST_SECONDS
        database.mend_connections()
        _note_broken(pk, error, is_told=broke_before or is_refusal(error))
        return None
    rests_until.pop(pk, None)
    return firing


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
            mark_fault(schedule, told_fault(error), database.now(), error)
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
        if not is_refusal(error) or isinstance(error, raises):
            raise
        refusal = error
    return database.in_transaction(lambda: fire(refusal))


def _fire(
    schedule: Schedule, now: dt.datetime, refusal: Exception | None, tenants: Mapping[Any, bool]
) -> ScheduleFiring | None:
    if schedule.next_run_at is None or schedule.next_run_at > now:
        return None
    missed = rule_of(schedule).latest(schedule.next_run_at - _TICK, now) or [schedule.next_run_at]
    is_each = schedule.catch_up == CatchUp.ALL
    due = missed[0] if is_each else missed[-1]
    # As long as a change of the leader takes, LEASE_SECONDS, a firing counts as on time.
    if schedule.catch_up == CatchUp.SKIP and now - due > dt.timedelta(seconds=float(jobs_settings.LEASE_SECONDS)):
        note = say("Nobody could fire it when it was due.", code="missed")
        firing = _write(schedule, due, now, Outcome.SKIPPED, Result(), note)
    else:
        firing = _submit(schedule, due, now, refusal, tenants)
    schedule.last_fired_at = due
    schedule.next_run_at = missed[1] if is_each and len(missed) > 1 else next_run(schedule, now)
    schedule.save(using=database.alias(), update_fields=["last_fired_at", "next_run_at", "fault", "faulty_since"])
    return firing


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
        reason = told_fault(refusal)
        mark_fault(schedule, reason, now, refusal)
        # A refusal by a limit is not the schedule's fault, and may be over at its next moment.
        outcome = Outcome.SKIPPED if isinstance(refusal, RetryableRefusal) else Outcome.FAILED
        return _write(schedule, due, now, outcome, Result(), reason, actor)
    result = submit_for(schedule, due, now, tenants)
    note = result.note()
    if result.is_for_nobody or POLICY_FAILED in result.skipped:
        mark_fault(schedule, note, now)
    elif result.submitted or UNFINISHED_JOB in result.skipped:
        clear_fault(schedule)
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


# The scheduler's part in schedules: it looks once a second for what is due within the next, and waits exactly.
#
# In a scheduler that runs in a loop this has a thread and a connection of its own, since a host's access policy, which
# is asked at each firing, may be slow and must not hold up other duties.


DUTY: Final = "fire_schedules"
#: So many of a schedule's newest firings are kept, and a few more until the next look at them.
KEPT: Final = 1_000
#: After so many firings of a schedule, those that are too many are deleted.
LOOKED_AT_EACH: Final = 100
#: Rows that one step deletes.
AT_ONCE: Final = 1_000


class Clockwork:
    """Fires what is due, and keeps the history of firings short, for one scheduler."""

    def __init__(self) -> None:
        #: How often schedules fired since surplus rows of theirs were deleted.
        self.fired: Counter[int] = Counter()
        self._next_upkeep = 0.0
        self._rests_until: dict[int, float] = {}

    def seconds_until_due(self) -> float:
        """Return in how many seconds a schedule is due that does not rest, at most CLOCKWORK_LOOK_SECONDS."""
        at_rest = resting(self._rests_until)
        rows = Schedule.primary.filter(next_run_at__isnull=False).order_by("next_run_at")
        for pk, soonest, now in rows.values_list("pk", "next_run_at", Moment())[: len(at_rest) + 1]:
            if pk not in at_rest:
                return min(timing.CLOCKWORK_LOOK_SECONDS, float((soonest - now) / dt.timedelta(seconds=1)))
        return timing.CLOCKWORK_LOOK_SECONDS

    def step(self) -> tuple[int, float]:
        """Fire what is due, each schedule once, and return how many did, and in how many seconds to look again."""
        if time.monotonic() >= self._next_upkeep:
            self._next_upkeep = time.monotonic() + timing.CLOCKWORK_UPKEEP_SECONDS
            self.prune()
        until_due = self.seconds_until_due()
        if until_due > 0:
            return 0, until_due
        fired = fire_round(rests_until=self._rests_until)
        self.fired.update(item.schedule_id for item in fired)
        # What is due and did not fire is held by another scheduler, or rests from now on because its firing broke.
        return len(fired), 0.0 if fired else timing.CLOCKWORK_LOOK_SECONDS

    def prune(self) -> int:
        """Delete firings that are too old, and of each schedule that fired often what is too much; return how many."""
        horizon = database.now() - dt.timedelta(days=float(jobs_settings.RETENTION_DAYS))
        # Those with the lowest keys are the oldest.
        oldest = ScheduleFiring.primary.order_by("pk").values_list("pk", "fired_at")[:AT_ONCE]
        old = [pk for pk, fired_at in oldest if fired_at < horizon]
        count = ScheduleFiring.primary.filter(pk__in=old).delete()[0] if old else 0
        for pk in [pk for pk, fired in self.fired.items() if fired >= LOOKED_AT_EACH]:
            count += _delete_surplus(pk)
            del self.fired[pk]
        return count


def _delete_surplus(schedule_pk: int) -> int:
    rows = ScheduleFiring.primary.filter(schedule_id=schedule_pk)
    first = rows.order_by("-pk").values_list("pk", flat=True)[KEPT : KEPT + 1].first()
    return 0 if first is None else rows.filter(pk__lte=first).delete()[0]
