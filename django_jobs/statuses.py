"""The words of the state machine, and the machine itself as data.

(new) → Pending → Queued → Running → Completed, with Failed and Timed Out waiting for a retry, Canceled and
Dead Letter as the other ends. :data:`TRANSITIONS` holds every arrow; nothing else decides what may follow what.
"""

from __future__ import annotations

from typing import Final

from django.db.models import IntegerChoices, TextChoices


class Status(TextChoices):
    """What a job is doing. The values are stored, shown and sent as they stand."""

    PENDING = "Pending", "Pending"  # submitted; waits in the database
    QUEUED = "Queued", "Queued"  # has a ticket at the broker
    RUNNING = "Running", "Running"  # a worker holds its lease
    COMPLETED = "Completed", "Completed"  # the handler returned
    FAILED = "Failed", "Failed"  # transient error; waits for its retry
    TIMED_OUT = "Timed Out", "Timed Out"  # ran too long; waits for its retry
    CANCELED = "Canceled", "Canceled"
    DEAD_LETTER = "Dead Letter", "Dead Letter"  # will not run again by itself


class ActorKind(TextChoices):
    """What kind of actor changed a job's status; tells a user called "scheduler" from the scheduler."""

    USER = "user", "User"
    SYSTEM = "system", "System"  # server code without a user, and the engine itself
    WORKER = "worker", "Worker"
    SCHEDULER = "scheduler", "Scheduler"


class RunAfter(TextChoices):
    """When a job that depends on others may run."""

    COMPLETED = "completed", "Completed"  # all its parents completed
    ENDED = "ended", "Ended"  # all its parents ended, however they did


class SubmitBy(TextChoices):
    """Who may submit a job type."""

    MEMBERS = "members", "Members"  # whoever belongs to the organization
    ADMINS = "admins", "Admins"  # the organization's admins and system admins
    CODE = "code", "Code"  # only server code without a user


class Priority(IntegerChoices):
    """Which jobs go first; stored as integers that sort."""

    LOW = 0, "Low"
    NORMAL = 1, "Normal"
    HIGH = 2, "High"
    CRITICAL = 3, "Critical"

    @classmethod
    def parse(cls, value: object) -> Priority:
        """The priority that a label ("High") or a number (2, "2") names; ValueError otherwise."""
        if isinstance(value, str):
            for member in cls:
                if value.strip().lower() == member.label.lower():
                    return member
            if value.strip().isdecimal():
                value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(value)
        raise ValueError(f"{value!r} is not a priority")


TERMINAL: Final = frozenset({Status.COMPLETED, Status.CANCELED, Status.DEAD_LETTER})
WAITING: Final = frozenset({Status.PENDING, Status.QUEUED, Status.FAILED, Status.TIMED_OUT})
IN_FLIGHT: Final = frozenset({Status.QUEUED, Status.RUNNING})
#: A job in one of these may be dispatched once its ``ready_at`` has come.
DISPATCHABLE: Final = frozenset({Status.PENDING, Status.FAILED, Status.TIMED_OUT})
#: A job comes to one of these when an attempt failed.
WITH_ERRORS: Final = frozenset({Status.FAILED, Status.TIMED_OUT, Status.DEAD_LETTER})
RETRYABLE_BY_HAND: Final = frozenset({Status.DEAD_LETTER, Status.FAILED, Status.TIMED_OUT})

TRANSITIONS: Final[dict[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.QUEUED, Status.CANCELED, Status.DEAD_LETTER}),
    Status.QUEUED: frozenset({Status.RUNNING, Status.PENDING, Status.CANCELED, Status.DEAD_LETTER}),
    Status.RUNNING: frozenset(
        {
            Status.COMPLETED,
            Status.FAILED,
            Status.TIMED_OUT,
            Status.DEAD_LETTER,
            Status.CANCELED,
            Status.PENDING,
            Status.QUEUED,
        }
    ),
    Status.FAILED: frozenset({Status.QUEUED, Status.PENDING, Status.CANCELED, Status.DEAD_LETTER}),
    Status.TIMED_OUT: frozenset({Status.QUEUED, Status.PENDING, Status.CANCELED, Status.DEAD_LETTER}),
    Status.DEAD_LETTER: frozenset({Status.PENDING}),
    Status.COMPLETED: frozenset(),
    Status.CANCELED: frozenset(),
}


def may_move(from_status: str, to_status: str) -> bool:
    """Whether the machine has an arrow from one status to the other."""
    return Status(to_status) in TRANSITIONS[Status(from_status)]
