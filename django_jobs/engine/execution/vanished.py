"""The end of attempts that vanished together with whoever knew whether their handlers had begun.

Of those that ran for a moment, the database knows it (``leases.note_begun``). The others either had not begun, and owe
nothing; or they began in the last moment. Which it was cannot be told, so that the first time costs nothing. A job that
vanishes like that again may be what takes its machines down in that moment, and pays from then on.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from django.db.models import F

from django_jobs.engine.actors import Actor
from django_jobs.engine.execution import settle
from django_jobs.engine.store import database
from django_jobs.engine.transitions import Moved
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import AWAITING_TURN
from django_jobs.texts import say

#: How the message of such a return to the queue begins; the Execution Log is searched for it.
UNSEEN: Final = "Handed back: its handler was not seen to begin"


def end(attempts: Collection[tuple[int, int]], reason: str, worker_name: str, actor: Actor) -> list[Moved]:
    """End attempts (job, attempt) of which nobody can report; return what moved.

    What had begun, and what vanished unseen before, is lost; the others go back to the queue and pay nothing.
    """

    def store() -> list[Moved]:
        guilty = _begun_or_returned(attempts)
        lost = [pair for pair in attempts if pair[0] in guilty]
        others = [pair for pair in attempts if pair[0] not in guilty]
        moved = settle.settle_lost(lost, reason, worker_name, actor=actor)
        text = say(f"{UNSEEN}; %(reason)s", code="unseen", reason=reason)
        return moved + settle.return_to_queue(others, text, worker_name, actor=actor)

    return database.in_transaction(store) if attempts else []


def _begun_or_returned(attempts: Collection[tuple[int, int]]) -> set[int]:
    pks = [pk for pk, _ in attempts]
    begun = Job.primary.filter(pk__in=pks, begun_attempt=F("attempt")).values_list("pk", flat=True)
    logs = ExecutionLog.primary.filter(job_id__in=pks, to_status__in=sorted(AWAITING_TURN), message__startswith=UNSEEN)
    return {*begun, *logs.values_list("job_id", flat=True)}
