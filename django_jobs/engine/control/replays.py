"""Retrying or deleting a whole group of Dead Letters: the scheduler does it in batches, at a chosen rate.

A replay outlives the browser and the process that started it. A batch and the note of how far the replay came are one
transaction, so that no job is counted twice or left out. A replay walks the group once, from the oldest job to the one
that was the newest when it started. So a job that dies again stays dead.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import Error, IntegrityError
from django.db.models import QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import user_named
from django_jobs.engine.control import audit
from django_jobs.engine.control.deletion import delete_rows
from django_jobs.engine.control.retry import retry_many
from django_jobs.engine.insight.inspection import jobs
from django_jobs.engine.lookup import visible_organizations
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import capped_count
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.exceptions import PermissionDenied
from django_jobs.models import Job, Replay
from django_jobs.models.replay import OPEN
from django_jobs.statuses import Status

logger = logging.getLogger("django_jobs")

#: Jobs that one replay changes at most before the next replay gets its turn.
BATCH: Final = 100
#: A replay that was held up catches up at most so many seconds' worth of jobs at once.
MEMORY_SECONDS: Final = 5.0
#: Replays that get a turn in one tick of the scheduler.
AT_ONCE: Final = 5
#: Seconds that a tick of the scheduler may spend on replays.
TICK_SECONDS: Final = 0.5
MAX_PER_MINUTE: Final = 6_000
DEFAULT_PER_MINUTE: Final = 60

NOT_PERMITTED: Final = "you may not"
DEAD_PARENT: Final = "a job that it waits for ended without completing; retry that one first"
CHANGED: Final = "changed meanwhile"
KEPT: Final = "unfinished jobs or other data need it"
USER_GONE: Final = "Whoever started it is not there any more, or was deactivated."

Reasons = Mapping[str, int]


def group_of(job_type: str, error_fingerprint: str, user: Any) -> QuerySet[Job]:
    """Return the Dead Letters of a type with like errors, of the organizations that this user may see."""
    rows = jobs().filter(job_type_id=job_type, error_fingerprint=error_fingerprint, status=Status.DEAD_LETTER)
    organizations = visible_organizations(None, user)
    return rows if organizations is None else rows.filter(organization_id__in=organizations)


def may(verb: str, user: Any, job: Job) -> bool:
    """Return whether the policy lets this user retry, or delete, this job."""
    policy = get_policy()
    return policy.can_retry(user, job) if verb == Replay.Verb.RETRY else policy.can_delete(user, job)


def start_replay(
    job_type: str, error_fingerprint: str, *, user: Any, verb: str = Replay.Verb.RETRY, per_minute: int
) -> Replay | None:
    """Start a replay of the group and return it; None when the group has no job any more.

    Raises PermissionDenied where the user may not do it to the group's newest job, ValueError for an unknown verb and
    a rate outside 1 to MAX_PER_MINUTE.
    """
    if verb not in Replay.Verb.values or not 1 <= per_minute <= MAX_PER_MINUTE:
        raise ValueError(f"No such replay: {verb!r}, {per_minute} a minute.")
    rows = group_of(job_type, error_fingerprint, user)
    newest = rows.order_by("-pk").first()
    if newest is None:
        return None
    if not may(verb, user, newest):
        raise PermissionDenied(f"You may not {verb} {newest.name}.")
    total, has_more = capped_count(rows)
    now = database.now()
    return Replay.primary.create(
        verb=verb,
        job_type=job_type,
        error_fingerprint=error_fingerprint,
        error_message=newest.error_message,
        user_id=user.pk,
        user_name=_name(user),
        per_minute=per_minute,
        started_at=now,
        # The first one is due at once.
        released_until=now - dt.timedelta(minutes=1 / per_minute),
        total=total,
        has_more=has_more,
        last_id=newest.pk,
    )


def pause(replay: Replay) -> bool:
    """Pause the replay, and return whether it ran until now."""
    return _switch(replay, {Replay.State.RUNNING}, state=Replay.State.PAUSED, note="")


def resume(replay: Replay) -> bool:
    """Let the replay go on at its rate, and return whether it was paused until now."""
    return _switch(replay, {Replay.State.PAUSED}, state=Replay.State.RUNNING, note="", released_until=database.now())


def stop(replay: Replay) -> bool:
    """End the replay, and return whether it was open until now. What was done stays done."""
    return _switch(replay, OPEN, state=Replay.State.STOPPED, note="", ended_at=database.now())


def _switch(replay: Replay, states: Any, **values: Any) -> bool:
    rows = Replay.primary.filter(pk=replay.pk, state__in=sorted(states))
    return rows.update(**values) > 0


def work_off() -> int:
    """Work off the next batch of each open replay, within its rate and TICK_SECONDS; return how many jobs changed."""
    rows = Replay.primary.filter(state=Replay.State.RUNNING)
    # The replay that has waited longest comes first, so that each gets its turn.
    pks = list(rows.order_by("released_until", "pk").values_list("pk", flat=True)[:AT_ONCE])
    until = time.monotonic() + TICK_SECONDS
    count = 0
    for pk in pks:
        count += _take_turn(pk)
        if time.monotonic() >= until:
            break
    return count


def forget_old() -> int:
    """Delete replays that ended longer ago than jobs are kept; return how many went."""
    since = database.now() - dt.timedelta(days=float(jobs_settings.RETENTION_DAYS))
    return Replay.primary.filter(ended_at__lt=since).delete()[0]


def _take_turn(pk: int) -> int:
    try:
        with fresh_reads():
            return database.in_transaction(lambda: _work(pk))
    except Exception as error:  # the host's policy or storage, or one of its constraints
        if isinstance(error, Error) and not isinstance(error, IntegrityError):
            raise
        logger.warning("event=replay_failed replay=%s error=%r", pk, error, exc_info=error)
        rows = Replay.primary.filter(pk=pk, state=Replay.State.RUNNING)
        rows.update(state=Replay.State.PAUSED, note=f"Paused by an error: {type(error).__name__}.")
        return 0


def _work(pk: int) -> int:
    rows = Replay.primary.filter(pk=pk, state=Replay.State.RUNNING)
    replay = database.locked(rows, skip=True).first()
    if replay is None:
        return 0
    now = database.now()
    due = _due(replay, now)
    if not due:
        return 0
    user = replay.user
    if user is None or not user.is_active:
        _store(replay, state=Replay.State.STOPPED, note=USER_GONE, ended_at=now)
        return 0
    batch = _next(replay, user, due)
    changed, refused = _perform(replay, user, batch) if batch else (0, {})
    values = _progress(replay, batch, changed, refused, now)
    if len(batch) < due:
        values |= {"state": Replay.State.DONE, "ended_at": now, "refused": _with_lost(replay, values)}
    _store(replay, **values)
    return changed


def _due(replay: Replay, now: dt.datetime) -> int:
    """Return how many jobs the rate allows now."""
    seconds = (now - replay.released_until).total_seconds()
    return max(0, min(_most(replay.per_minute), int(seconds * replay.per_minute / 60 + 1e-6)))


def _most(per_minute: int) -> int:
    """Return how many jobs a turn may change."""
    return min(BATCH, max(1, int(per_minute * MEMORY_SECONDS / 60)))


def _next(replay: Replay, user: Any, count: int) -> list[Job]:
    rows = group_of(replay.job_type, replay.error_fingerprint, user)
    return list(rows.filter(pk__gt=replay.position, pk__lte=replay.last_id).order_by("pk")[:count])


def _perform(replay: Replay, user: Any, batch: list[Job]) -> tuple[int, Reasons]:
    """Retry or delete these jobs; return how many changed, and how many did not by reason."""
    permitted = [job.pk for job in batch if may(replay.verb, user, job)]
    changed, refused = _retry(replay, permitted) if replay.verb == Replay.Verb.RETRY else _delete(replay, permitted)
    refused[NOT_PERMITTED] += len(batch) - len(permitted)
    return changed, {reason: count for reason, count in refused.items() if count}


def _retry(replay: Replay, pks: list[int]) -> tuple[int, Counter[str]]:
    moved, held = retry_many(pks, message=f"Retried by hand, in replay {replay.pk}", actor=user_named(replay.user_name))
    return moved, Counter({DEAD_PARENT: held, CHANGED: len(pks) - held - moved})


def _delete(replay: Replay, pks: list[int]) -> tuple[int, Counter[str]]:
    dead = _locked_in_group(replay, pks)
    gone = delete_rows(dead, release_children=True).job_ids
    if gone:
        text = f"Deleted in replay {replay.pk}."
        database.on_commit(lambda: audit.log("job", gone, audit.Act.DELETED, replay.user_name, text))
    kept = jobs().filter(pk__in=dead).count()
    return len(dead) - kept, Counter({KEPT: kept, CHANGED: len(pks) - len(dead)})


def _locked_in_group(replay: Replay, pks: list[int]) -> list[int]:
    """Lock these jobs, and return those that still are of the replay's group, as they were when they were listed."""
    rows = database.locked(Job.primary.filter(pk__in=pks).only("status", "error_fingerprint"), skip=True)
    dead = [job for job in rows if job.status == Status.DEAD_LETTER]
    return [job.pk for job in dead if job.error_fingerprint == replay.error_fingerprint]


def _progress(replay: Replay, batch: Sequence[Job], changed: int, refused: Reasons, now: dt.datetime) -> dict[str, Any]:
    oldest = now - dt.timedelta(minutes=_most(replay.per_minute) / replay.per_minute)
    return {
        "position": batch[-1].pk if batch else replay.position,
        "changed": replay.changed + changed,
        "refused": dict(Counter(replay.refused) + Counter(refused)),
        # Only the jobs that changed count against the rate.
        "released_until": max(replay.released_until, oldest) + dt.timedelta(minutes=changed / replay.per_minute),
    }


def _with_lost(replay: Replay, values: Mapping[str, Any]) -> dict[str, int]:
    """Return the reasons, with the jobs that had left the group before the replay came to them."""
    refused = Counter(values["refused"])
    lost = replay.total - values["changed"] - refused.total()
    if lost > 0 and not replay.has_more:
        refused[CHANGED] += lost
    return dict(refused)


def _store(replay: Replay, **values: Any) -> None:
    Replay.primary.filter(pk=replay.pk).update(**values)


def _name(user: Any) -> str:
    return str(user.get_username())[:150]
