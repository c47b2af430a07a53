"""What a client that joins a room is told: how far its log goes, what it missed, and how a job stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import TextField
from django.db.models.functions import Cast, Length

from django_jobs.engine.access import complain
from django_jobs.engine.insight.status import describe
from django_jobs.engine.store import database
from django_jobs.exceptions import PolicyFailed
from django_jobs.models import Job
from django_jobs.realtime import frames, messages, replay, sight
from django_jobs.realtime.admission import Refused, Target
from django_jobs.realtime.readers import one_by_one
from django_jobs.realtime.replay import Replay

#: So often a job is read again that changes while it is read.
TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Join:
    """``more`` is what the answer has besides the cursor: a job's state, and when it was read."""

    replay: Replay
    events: list[messages.Event]
    more: dict[str, Any] = field(default_factory=dict)


#: The target, the last event that was seen, and the user.
Question = tuple[Target, int | None, Any]
#: By organization and last event that was seen.
Logs = dict[tuple[Any, int | None], Replay]


def read_all(questions: Sequence[Question]) -> list[Join | Exception]:
    """Tell of each question what :func:`read` says. The log of an organization is read once."""
    logs: Logs = {}
    return one_by_one(questions, lambda item: read(*item, logs), lambda item: (item[0], item[1], id(item[2])))


def read(target: Target, since: int | None, user: Any, logs: Logs | None = None) -> Join:
    """What ``user`` is told who joins now, having seen the events up to ``since``. Raises Refused.

    ``logs`` are those that were read already since the user subscribed.
    """
    logs = {} if logs is None else logs
    if target.job_pk is not None:
        try:
            found, more = _read_job(target.job_pk, since, user)
        except PolicyFailed as error:
            complain(error)
            raise Refused("forbidden", "Whether you may listen cannot be told at this moment.") from error
    else:
        key, more = (target.organization_pk, since), {}
        found = logs[key] = logs[key] if key in logs else _read_log(*key)
    return Join(found, sight.visible(messages.status_events(found.log_ids), user), more)


def _read_log(organization_pk: Any, since: int | None) -> Replay:
    return replay.replay_all(since) if organization_pk is None else replay.replay_organization(organization_pk, since)


def _read_job(pk: int, since: int | None, user: Any) -> tuple[Replay, dict[str, Any]]:
    """The state as of the cursor: where the cursor moved on while the state was read, both are read again.

    Should it never stand still, the state is newer than the cursor, and the client hears of some of it twice.
    """
    found, more = _read_state(pk, since, user)
    for _ in range(TRIES - 1):
        if replay.replay_job(pk, None).cursor == found.cursor:
            break
        found, more = _read_state(pk, since, user)
    return found, more


def _read_state(pk: int, since: int | None, user: Any) -> tuple[Replay, dict[str, Any]]:
    found = replay.replay_job(pk, since)
    now = frames.moment(database.now())  # progress that was read before this is older than the state
    job = _find(pk)
    if job is None:
        raise Refused("not_found", "There is no such room.")
    data, missing = frames.state_of(describe(job, user=user))
    if "result" in job.get_deferred_fields():
        missing.append("result")
    return found, {"data": data, "updated_at": now, **({"cut": missing} if missing else {})}


def _find(pk: int) -> Job | None:
    """The job. A result that fits into no frame is not read: it would keep all others waiting who join."""
    rows = Job.primary.filter(pk=pk)
    length = Length(Cast("result", TextField()))
    job: Any = rows.defer("result").annotate(result_length=length).first()
    if job is not None and (job.result_length or 0) <= frames.MAX_BYTES:
        job.result = rows.values_list("result", flat=True).first() if job.result_length else None
    found: Job | None = job
    return found
