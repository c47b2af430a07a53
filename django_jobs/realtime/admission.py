"""Who may listen to what: asked at the join before anything is told, and again and again while somebody listens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import Error

from django_jobs.engine.access import complain, get_policy, may_start, organizations_seen_by
from django_jobs.engine.lookup import find_job, find_organization_pk
from django_jobs.engine.store import database
from django_jobs.exceptions import JobNotFound, JobsError
from django_jobs.models import get_organization_model
from django_jobs.realtime.identity import Identity
from django_jobs.realtime.readers import one_by_one
from django_jobs.realtime.rooms import ADMIN, JOB, ORGANIZATION, Room
from django_jobs.realtime.sight import hidden_jobs

logger = logging.getLogger("django_jobs")


class Refused(JobsError):
    """The room is not for this user."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Target:
    """What a room stands for: all jobs of an organization, one of them, or (``organization_pk`` None) everybody's."""

    room: str
    organization_pk: Any
    job_pk: int | None = None

    @property
    def organization(self) -> str | None:
        """The id by which the room of a whole organization was joined; None of other rooms."""
        kind, _, key = self.room.partition(":")
        return key if kind == ORGANIZATION else None


def admit_all(questions: Sequence[tuple[Any, Room]]) -> list[Target | Exception]:
    """Tell of each (user, room) what :func:`admit` says. Another user object may have other rights."""
    return one_by_one(questions, lambda item: admit(*item), lambda item: (id(item[0]), item[1]))


def admit(user: Any, room: Room) -> Target:
    """What the room stands for. Raises Refused; that something exists which the user may not see is not told."""
    try:
        return _admit(user, room)
    except (JobsError, Error):
        raise
    except Exception as error:
        complain(error)  # the host's policy
        raise Refused("forbidden", "Whether you may listen cannot be told at this moment.") from error


def _admit(user: Any, room: Room) -> Target:
    if room.kind == ADMIN:
        if not get_policy().is_system_admin(user):
            raise Refused("forbidden", "Only system administrators may listen to this room.")
        return Target(room.name, None)
    try:
        if room.kind == JOB:
            job = find_job(room.key, user)
            target = Target(room.name, job.organization_id, job.pk)
        else:
            target = Target(room.name, find_organization_pk(room.key, user))
    except JobNotFound as error:
        raise Refused("not_found", "There is no such room.") from error
    # Found among what the user may see: all that is left to ask is whether it is active.
    is_told = organizations_seen_by(user) is None or _active([target.organization_pk], get_policy().is_active)
    if not is_told:
        raise Refused("forbidden", "The organization is not active.")
    return target


def admitted_organizations(user: Any, organization_pks: Collection[Any]) -> set[Any]:
    """Those of the organizations whose jobs the user may hear of now; system admins hear of suspended ones too."""
    seen = organizations_seen_by(user)
    if seen is None:
        return set(organization_pks)
    return _active(seen.filter(pk__in=organization_pks).values_list("pk", flat=True), may_start)


def _active(organization_pks: Iterable[Any], is_active: Callable[[Any], bool]) -> set[Any]:
    rows = database.rows(get_organization_model()).filter(pk__in=set(organization_pks))
    return {organization.pk for organization in rows if is_active(organization)}


def still_admitted(user: Any, targets: Collection[Target]) -> set[Target]:
    """Those of the targets that the user may go on listening to. Where the policy fails: none."""
    try:
        organizations = {target.organization_pk for target in targets} - {None}
        admitted = admitted_organizations(user, organizations) if organizations else set()
        hidden = hidden_jobs({target.job_pk for target in targets if target.job_pk is not None}, user)
        everybody = None in {target.organization_pk for target in targets} and get_policy().is_system_admin(user)
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's policy)
        complain(error)
        return set()
    return {
        target
        for target in targets
        if target.job_pk not in hidden
        and (everybody if target.organization_pk is None else target.organization_pk in admitted)
    }


def passed_on(targets: Collection[Target]) -> list[Target]:
    """Return those rooms of whole organizations whose id another organization has by now."""
    found = []
    for target in targets:
        try:
            holder = find_organization_pk(target.organization)
        except JobNotFound:
            continue  # nobody's now
        if holder != target.organization_pk:
            found.append(target)
    return found


#: Close code for an unknown, deactivated or signed-out user.
REVOKED: Final = 4401
#: "Try again later" (RFC 6455's registry): who this is cannot be told now.
TRY_AGAIN: Final = 1013


@dataclass(frozen=True, slots=True)
class Standing:
    """Who listens now, what was asked, and what of it holds."""

    user: Any
    asked: set[Target]
    held: set[Target]


def standing(questions: Sequence[tuple[Identity, list[Target]]]) -> list[Standing | int]:
    """Of each identity how it stands, or the code with which its socket is to be closed."""
    users: dict[Any, Any] = {}
    answers: list[Standing | int] = []
    for identity, targets in questions:
        if identity.key not in users:
            users[identity.key] = user_of(identity)
        user = users[identity.key]
        is_code = isinstance(user, int)
        answers.append(user if is_code else Standing(user, set(targets), still_admitted(user, targets)))
    return answers


def user_of(identity: Identity) -> Any:
    """The active user whom this stands for now, or the code with which the socket is to be closed."""
    try:
        user = identity.user()
    except Error:
        raise
    except Exception as error:
        logger.exception("event=socket_authentication_failed error=%s", type(error).__name__)
        return TRY_AGAIN
    return REVOKED if user is None else user
