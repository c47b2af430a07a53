"""Who changed a job's status: a name for the audit trail, and the kind of actor behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django_jobs.engine.json_storage import clean_text
from django_jobs.statuses import ActorKind

if TYPE_CHECKING:
    from django_jobs.models import Job

MAX_NAME: Final = 150


class Actor(NamedTuple):
    """``name`` is stored as text, so that it outlives the user; ``kind`` tells a user called "worker" apart."""

    name: str
    kind: ActorKind


SYSTEM: Final = Actor("system", ActorKind.SYSTEM)
WORKER: Final = Actor("worker", ActorKind.WORKER)
SCHEDULER: Final = Actor("scheduler", ActorKind.SCHEDULER)


def user_named(name: str) -> Actor:
    """Return the actor of a user's name, cut to what the audit trail holds."""
    return Actor(clean_text(name, MAX_NAME), ActorKind.USER)


def name_of(user: Any) -> str:
    """Return the name by which a user is remembered; empty for server code (None).

    A user who has no name has it of their key, or they would count as server code once they are deleted.
    """
    if user is None:
        return ""
    name = user.get_username() or ("" if user.pk is None else f"user {user.pk}")
    return clean_text(name, MAX_NAME)


def actor_for(user: Any) -> Actor:
    """Return the actor for a user; None is server code."""
    return SYSTEM if user is None else user_named(name_of(user))


def submitter_of(job: Job) -> Actor:
    """Return who submitted the job: its owner, or server code."""
    return user_named(job.owner_name) if job.owner_name else SYSTEM
