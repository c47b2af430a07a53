"""What rooms stand for: who may join them and go on listening, and what somebody who joins is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import Error
from django.db.models import TextField
from django.db.models.functions import Cast, Length

from django_jobs.engine import batches
from django_jobs.engine.access import (
    complain,
    is_active,
    may_hide_jobs,
    may_start,
)
from django_jobs.engine.insight.status import describe
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.exceptions import BatchNotFound, JobNotFound, JobsError, PolicyFailed
from django_jobs.models import Job, get_organization_model
from django_jobs.realtime import protocol
from django_jobs.realtime.database_threads import answer_each
from django_jobs.realtime.events import Event, MissedEvents, catch_up, catch_up_job, chunks, status_events
from django_jobs.realtime.identity import Identity, active_user
from django_jobs.realtime.protocol import ADMIN, BATCH, JOB, ORGANIZATION, Room

#: A user's key and a job's key.
UserAndJob = tuple[Any, int]
#: Columns that may be large. A policy that needs one of them reads it on access.
LARGE: Final = ("input_parameters", "metadata", "result", "output_reference", "error_message")


class FrameRefused(JobsError):
    """The user may not join the room. ``code`` and ``detail`` are those of the error frame."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Target:
    """What a room stands for: one job or batch, all jobs of an organization, or everybody's.

    ``organization_pk`` is None for everybody's.
    """

    room: str
    organization_pk: Any
    job_pk: int | None = None
    batch_pk: int | None = None

    @property
    def is_whole(self) -> bool:
        """Return whether the room tells of more than one job or batch."""
        return self.job_pk is None and self.batch_pk is None

    @property
    def organization(self) -> str | None:
        """Return the organization's id in the room's name; None for any other room."""
        kind, _, key = self.room.partition(":")
        return key if kind == ORGANIZATION else None


# -- joining -----------------------------------------------------------------------------------------------------------


def authorize_all(questions: Sequence[tuple[Any, Room]]) -> list[Target | Exception]:
    """Return for each (user, room) what :func:`authorize` returns or raises.

    Users are told apart as objects, because another object of the same user may have other rights.
    """
    return answer_each(questions, lambda item: authorize(*item), lambda item: (id(item[0]), item[1]))


def authorize(user: Any, room: Room) -> Target:
    """Return what the room stands for. Raises FrameRefused if the user may not join it.

    A room that the user may not know of is refused like one that does not exist.
    """
    try:
        return _authorize(user, room)
    except (JobsError, Error):
        raise
    except Exception as error:
        raise _policy_failed(error) from error


def _policy_failed(error: Exception) -> FrameRefused:
    complain(error)
    return FrameRefused("forbidden", "Whether you may listen cannot be told at this moment.")


def _authorize(user: Any, room: Room) -> Target:
    scope = Scope(user)
    if room.kind == ADMIN:
        if not scope.is_system_admin:
            raise FrameRefused("forbidden", "Only system administrators may listen to this room.")
        return Target(room.name, None)
    try:
        if room.kind == JOB:
            job = scope.job(room.key)
            target = Target(room.name, job.organization_id, job_pk=job.pk)
        elif room.kind == BATCH:
            batch = scope.batch(room.key)
            target = Target(room.name, batch.organization_id, batch_pk=batch.pk)
        else:
            target = Target(room.name, scope.organization(room.key))
    except (JobNotFound, BatchNotFound) as error:
        raise FrameRefused("not_found", "There is no such room.") from error
    # The user may see the organization. What is left to ask is whether it is active; system admins need not ask.
    is_heard = scope.is_system_admin or _active([target.organization_pk], is_active)
    if not is_heard:
        raise FrameRefused("forbidden", "The organization is not active.")
    return target


# -- what who joins is told -------------------------------------------------------------------------------------------

#: How often a job is read that changes while it is read.
TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Join:
    """The answer to a join: the events that were missed, and ``more``: the state of a job or batch, and its moment."""

    catch_up: MissedEvents
    events: list[Event]
    more: dict[str, Any] = field(default_factory=dict)


#: The target, the id of the last event that the client saw, and the user.
Question = tuple[Target, int | None, Any]
#: By organization and last event that was seen.
CatchUps = dict[tuple[Any, int | None], MissedEvents]


def read_joins(questions: Sequence[Question]) -> list[Join | Exception]:
    """Return for each question what :func:`read_join` returns or raises. The log of an organization is read once."""
    known: CatchUps = {}
    return answer_each(questions, lambda item: read_join(*item, known), lambda item: (item[0], item[1], id(item[2])))


def read_join(target: Target, since: int | None, user: Any, known: CatchUps) -> Join:
    """Return what ``user`` is told who joins now and saw the events up to ``since``. Raises FrameRefused.

    ``known`` holds what was read for other joins since this user subscribed, and is added to.
    """
    if target.batch_pk is not None:
        return Join(MissedEvents(0, (), False), [], _read_batch(target.batch_pk))
    if target.job_pk is not None:
        try:
            found, more = _read_job(target.job_pk, since, user)
        except PolicyFailed as error:
            raise _policy_failed(error) from error
    else:
        key, more = (target.organization_pk, since), {}
        found = known[key] = known[key] if key in known else catch_up(*key)
    missed = status_events(found.log_ids)
    hidden = hidden_jobs({event.job_pk for event in missed}, user)
    return Join(found, [event for event in missed if event.job_pk not in hidden], more)


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


# -- listening ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SocketRights:
    """What a socket may listen to now: the user as read again, the targets that were asked, and those that hold."""

    user: Any
    asked: set[Target]
    held: set[Target]


def recheck_all(questions: Sequence[tuple[Identity, list[Target]]]) -> list[SocketRights | int]:
    """Return for each identity the rights to its targets, or the code with which its socket is closed."""
    users: dict[Any, Any] = {}
    answers: list[SocketRights | int] = []
    for identity, targets in questions:
        if identity.key not in users:
            users[identity.key] = active_user(identity)
        user = users[identity.key]
        is_code = isinstance(user, int)
        answers.append(user if is_code else SocketRights(user, set(targets), still_authorized(user, targets)))
    return answers


def still_authorized(user: Any, targets: Collection[Target]) -> set[Target]:
    """Return those of the targets that the user may go on listening to; none if the policy fails."""
    try:
        scope = Scope(user)
        organizations = {target.organization_pk for target in targets} - {None}
        heard = organizations_heard_in(scope, organizations) if organizations else set()
        hidden = hidden_jobs({target.job_pk for target in targets if target.job_pk is not None}, user)
        everybody = None in {target.organization_pk for target in targets} and scope.is_system_admin
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's policy)
        complain(error)
        return set()
    return {
        target
        for target in targets
        if target.job_pk not in hidden
        and (everybody if target.organization_pk is None else target.organization_pk in heard)
    }


def organizations_heard_in(scope: Scope, organization_pks: Collection[Any]) -> set[Any]:
    """Return those of the organizations whose jobs the user may hear of now.

    System admins hear of suspended organizations, too.
    """
    if scope.is_system_admin:
        return set(organization_pks)
    return _active(scope.tenants.filter(pk__in=organization_pks).values_list("pk", flat=True), may_start)


def _active(organization_pks: Iterable[Any], is_active: Callable[[Any], bool]) -> set[Any]:
    rows = database.rows(get_organization_model()).filter(pk__in=set(organization_pks))
    return {organization.pk for organization in rows if is_active(organization)}


def reassigned(targets: Collection[Target]) -> list[Target]:
    """Return those rooms of whole organizations whose id belongs to another organization now."""
    found = []
    for target in targets:
        try:
            holder = Scope().organization(target.organization)
        except JobNotFound:
            continue  # nobody has the id now
        if holder != target.organization_pk:
            found.append(target)
    return found


# -- the policy's can_view ---------------------------------------------------------------------------------------------
# The built-in policy hides no job of an organization whose room a user may join. It is not asked, so an event costs
# nothing more there.


def hidden_jobs(pks: Collection[int], user: Any) -> set[int]:
    """Return those of the jobs that the policy hides from this user."""
    if not pks or not may_hide_jobs():
        return set()
    return {pk for (_, pk), is_shown in may_view({(user.pk, pk): user for pk in pks}).items() if not is_shown}


def may_view(wanted: Mapping[UserAndJob, Any]) -> dict[UserAndJob, bool]:
    """Return whether the policy shows each of these users a job. False where the policy fails or the job is gone."""
    jobs: dict[int, Job] = {}
    for chunk in chunks({pk for _, pk in wanted}):
        jobs |= Job.primary.defer(*LARGE).in_bulk(chunk)
    scopes = {id(user): Scope(user) for user in wanted.values()}
    return {(key, pk): pk in jobs and _shows(scopes[id(user)], jobs[pk]) for (key, pk), user in wanted.items()}


def _shows(scope: Scope, job: Job) -> bool:
    try:
        return scope.shows(job)
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's policy)
        complain(error)
        return False
