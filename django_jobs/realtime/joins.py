"""What a client that joins a room is told: how far the log goes, what it missed, how a job or a batch stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import TextField
from django.db.models.functions import Cast, Length

from django_jobs.engine import batches
from django_jobs.engine.access import complain
from django_jobs.engine.insight.status import describe
from django_jobs.engine.store import database
from django_jobs.exceptions import PolicyFailed
from django_jobs.models import Job
from django_jobs.realtime import events, protocol
from django_jobs.realtime.authorization import FrameRefused, Target, hidden_jobs
from django_jobs.realtime.database_threads import answer_each
from django_jobs.realtime.events import MissedEvents, catch_up_all, catch_up_job, catch_up_organization

#: How often a job is read that changes while it is read.
TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Join:
    """The answer to a join: the events that were missed, and ``more``: the state of a job or batch, and its moment."""

    catch_up: MissedEvents
    events: list[events.Event]
    more: dict[str, Any] = field(default_factory=dict)


#: The target, the id of the last event that the client saw, and the user.
Question = tuple[Target, int | None, Any]
#: By organization and last event that was seen.
CatchUps = dict[tuple[Any, int | None], MissedEvents]


def read_all(questions: Sequence[Question]) -> list[Join | Exception]:
    """Return for each question what :func:`read` returns or raises. The log of an organization is read once."""
    known: CatchUps = {}
    return answer_each(questions, lambda item: read(*item, known), lambda item: (item[0], item[1], id(item[2])))


def read(target: Target, since: int | None, user: Any, known: CatchUps | None = None) -> Join:
    """Return what ``user`` is told who joins now and saw the events up to ``since``. Raises FrameRefused.

    ``known`` holds what was read for other joins since this user subscribed, and is added to.
    """
    known = {} if known is None else known
    if target.batch_pk is not None:
        return Join(MissedEvents(0, (), False), [], _read_batch(target.batch_pk))
    if target.job_pk is not None:
        try:
            found, more = _read_job(target.job_pk, since, user)
        except PolicyFailed as error:
            complain(error)
            raise FrameRefused("forbidden", "Whether you may listen cannot be told at this moment.") from error
    else:
        key, more = (target.organization_pk, since), {}
        found = known[key] = known[key] if key in known else _read_log(*key)
    missed = events.status_events(found.log_ids)
    hidden = hidden_jobs({event.job_pk for event in missed}, user)
    return Join(found, [event for event in missed if event.job_pk not in hidden], more)


def _read_log(organization_pk: Any, since: int | None) -> MissedEvents:
    if organization_pk is None:
        return catch_up_all(since)
    return catch_up_organization(organization_pk, since)


def _read_job(pk: int, since: int | None, user: Any) -> tuple[MissedEvents, dict[str, Any]]:
    """Return the job's missed events and its state as of the same cursor.

    If the cursor moves on while the state is read, both are read again, at most TRIES times. After that the state may
    be newer than the cursor, and the client hears of some of it twice.
    """
    found, more = _read_state(pk, since, user)
    for _ in range(TRIES - 1):
        if catch_up_job(pk, None).cursor == found.cursor:
            break
        found, more = _read_state(pk, since, user)
    return found, more


def _read_state(pk: int, since: int | None, user: Any) -> tuple[MissedEvents, dict[str, Any]]:
    found = catch_up_job(pk, since)
    now = protocol.moment(database.now())  # progress that is older than this is older than the state
    job = _find(pk)
    if job is None:
        raise FrameRefused("not_found", "There is no such room.")
    data, missing = protocol.state_of(describe(job, user=user))
    if "result" in job.get_deferred_fields():
        missing.append("result")
    return found, {"data": data, "updated_at": now, **({"cut": missing} if missing else {})}


def _read_batch(pk: int) -> dict[str, Any]:
    now = protocol.moment(database.now())
    status = batches.describe_batch(pk)
    if status is None:
        raise FrameRefused("not_found", "There is no such room.")
    return {"data": protocol.state_of_batch(status), "updated_at": now}


def _find(pk: int) -> Job | None:
    """Return the job. A result that fits into no frame is not read, because other joins would wait for it."""
    rows = Job.primary.filter(pk=pk)
    length = Length(Cast("result", TextField()))
    job: Any = rows.defer("result").annotate(result_length=length).first()
    if job is not None and (job.result_length or 0) <= protocol.MAX_BYTES:
        job.result = rows.values_list("result", flat=True).first() if job.result_length else None
    found: Job | None = job
    return found
