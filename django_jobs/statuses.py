"""The words of the state machine, and the machine itself as data.

(new) → Pending → Queued → Running → Completed, with Failed and Timed Out waiting for a retry, Canceled and
Dead Letter as the other ends. :data:`TRANSITIONS` holds every arrow; nothing else decides what may follow what.

Values are the same in every language: they are stored, sent and logged. A label is what people read in theirs.

A new status needs an arrow here, words in ``templatetags/django_jobs.py``, its look in the static files, and a
migration. One that jobs reach from Running also needs a name in ``engine/insight/rollups.py``. An end also needs a
count in ``models/batch.py`` and ``engine/store/values.py``, and an exit code in ``jobs_submit``.
"""

from __future__ import annotations

from typing import Final

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Status(TextChoices):
    """What a job is doing. The values are stored and sent as they stand."""

    PENDING = "Pending", _("Pending")  #: submitted; waits in the database
    QUEUED = "Queued", _("Queued")  #: has a ticket at the broker
    RUNNING = "Running", _("Running")  #: a worker holds its lease
    COMPLETED = "Completed", _("Completed")  #: the handler returned
    FAILED = "Failed", _("Failed")  #: transient error; waits for its retry
    TIMED_OUT = "Timed Out", _("Timed Out")  #: ran too long; waits for its retry
    CANCELED = "Canceled", _("Canceled")
    DEAD_LETTER = "Dead Letter", _("Dead Letter")  #: will not run again by itself


class LogReason(TextChoices):
    """Why a job's status changed, where code asks for it later. Sentences for people stand in the row's message."""

    DIED_ALONE = "died_alone"  #: returned: its worker died before it began, with nothing else in hand
    UNSEEN = "unseen"  #: returned: it vanished with its worker, and its handler was not seen to begin
    SPARED = "spared"  #: failed while the breaker of its type was open, and spent no retry
    WORKER_LOST = "worker_lost"
    NOT_LOADABLE = "not_loadable"  #: its worker could not load the handler


class ActorKind(TextChoices):
    """What kind of actor changed a job's status; tells a user called "scheduler" from the scheduler."""

    USER = "user", _("User")
    SYSTEM = "system", _("System")  #: server code without a user, and the engine itself
    WORKER = "worker", _("Worker")
    SCHEDULER = "scheduler", _("Scheduler")


class BatchState(TextChoices):
    """What a batch does."""

    OPEN = "Open", pgettext_lazy("batch", "Open")  #: takes jobs; they run meanwhile
    RUNNING = "Running", _("Running")  #: closed; some of its jobs have not ended
    COMPLETED = "Completed", _("Completed")  #: all its jobs completed
    FAILED = "Failed", _("Failed")  #: all its jobs ended, and not all completed; or nobody closed it
    CANCELED = "Canceled", _("Canceled")  #: canceled as a whole, and all its jobs ended


class OpenTo(TextChoices):
    """Whose jobs a batch takes, beside those of server code and those that its own jobs add."""

    OWNER = "owner", _("Its owner and users who manage the organization's jobs")  #: nobody's where server code made it
    MEMBERS = "members", _("Members of the organization")


class BreakerState(TextChoices):
    """What the breaker of a job type does."""

    CLOSED = "Closed", pgettext_lazy("breaker", "Closed")  #: its jobs start
    OPEN = "Open", pgettext_lazy("breaker", "Open")  #: its jobs are held, and one at a time tries
    RECOVERING = "Recovering", _("Recovering")  #: one completed; the others start at a growing rate


class RunAfter(TextChoices):
    """When a job that depends on others may run."""

    COMPLETED = "completed", _("Completed")  #: all its parents completed
    ENDED = "ended", _("Ended")  #: all its parents ended, however they did


class SubmitBy(TextChoices):
    """Who may submit a job type."""

    MEMBERS = "members", _("Members")  #: whoever belongs to the organization
    ADMINS = "admins", _("Admins")  #: the organization's admins and system admins
    CODE = "code", _("Code")  #: only server code without a user


class Priority(IntegerChoices):
    """Which jobs go first; stored as integers that sort."""

    LOW = 0, pgettext_lazy("priority", "Low")
    NORMAL = 1, pgettext_lazy("priority", "Normal")
    HIGH = 2, pgettext_lazy("priority", "High")
    CRITICAL = 3, pgettext_lazy("priority", "Critical")

    @property
    def word(self) -> str:
        """The English word by which the API, the settings, commands and logs call it, whatever language is active."""
        return self.name.capitalize()

    @classmethod
    def words(cls) -> list[str]:
        """Return the English words of all priorities, the least urgent first."""
        return [priority.word for priority in cls]

    @classmethod
    def parse(cls, value: object) -> Priority:
        """The priority that a word ("High") or a number (2, "2") names; ValueError otherwise."""
        if isinstance(value, str):
            for member in cls:
                if value.strip().lower() == member.word.lower():
                    return member
            if value.strip().isdecimal():
                value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(value)
        raise ValueError(f"{value!r} is not a priority")


#: The job waits to be run, and no retry delay holds it.
AWAITING_TURN: Final = frozenset({Status.PENDING, Status.QUEUED})
#: The last attempt failed, and the job will be tried again by itself.
AWAITING_RETRY: Final = frozenset({Status.FAILED, Status.TIMED_OUT})
#: The job has not ended and does not run.
WAITING: Final = AWAITING_TURN | AWAITING_RETRY
#: The job has not ended.
UNFINISHED: Final = WAITING | {Status.RUNNING}
#: The job has a ticket at the broker, or a worker has it.
IN_FLIGHT: Final = frozenset({Status.QUEUED, Status.RUNNING})
#: The job may be dispatched once its ``ready_at`` has come.
DISPATCHABLE: Final = AWAITING_RETRY | {Status.PENDING}
#: The job has ended, and does not go on by itself.
TERMINAL: Final = frozenset(Status) - UNFINISHED
#: The job has ended, and nobody can retry it.
FINAL: Final = TERMINAL - {Status.DEAD_LETTER}
#: The job has ended without completing: it keeps no equal work out, and what needs it completed ends with it.
UNSUCCESSFUL: Final = TERMINAL - {Status.COMPLETED}
#: The job has ended, and ``completed_at`` says when; of a canceled one ``canceled_at`` does.
WITH_COMPLETED_AT: Final = TERMINAL - {Status.CANCELED}
#: The last attempt failed.
WITH_ERRORS: Final = AWAITING_RETRY | {Status.DEAD_LETTER}
#: Somebody may have the job start over.
RETRYABLE_BY_HAND: Final = WITH_ERRORS
#: Few jobs are in one of these at any moment, which therefore share an index.
RARE: Final = frozenset(Status) - IN_FLIGHT - {Status.COMPLETED}
#: The batch goes on.
UNFINISHED_STATES: Final = frozenset({BatchState.OPEN, BatchState.RUNNING})
#: The arrow of an attempt that costs no retry, and whose job waits for dispatch again.
POSTPONED: Final = (Status.RUNNING, Status.PENDING)
#: From and to: the way of a job whose attempt failed and is not tried again.
FAILED_FOR_GOOD: Final = (Status.RUNNING, Status.DEAD_LETTER)

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
    """Return whether the machine has an arrow from one status to the other."""
    return Status(to_status) in TRANSITIONS[Status(from_status)]
