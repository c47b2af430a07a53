"""Who may hear what: asked before a join is answered, and again and again while a socket listens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import Error

from django_jobs.engine.access import (
    complain,
    is_active,
    may_hide_jobs,
    may_start,
)
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.exceptions import BatchNotFound, JobNotFound, JobsError
from django_jobs.models import Job, get_organization_model
from django_jobs.realtime.database_threads import answer_each
from django_jobs.realtime.events import chunks
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
        complain(error)  # the host's policy failed
        raise FrameRefused("forbidden", "Whether you may listen cannot be told at this moment.") from error


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
