"""Work off operations on many jobs, here and now."""

from __future__ import annotations

from django_jobs.engine.control import operation_work
from django_jobs.engine.control.operation_work import OperationWork
from django_jobs.engine.control.operations import describe_operations
from django_jobs.engine.ports import broker_in_place
from django_jobs.models import Operation
from django_jobs.testing.memory_broker import MemoryBroker
from django_jobs.testing.transactions import Commits
from django_jobs.values import OperationStatus


def run_operations() -> list[OperationStatus]:
    """Work off all operations that are not settled, as far as they come now; return what each does, oldest first.

    Rates do not hold, since no time passes. No job runs: :func:`run_jobs` runs what was retried. An operation that
    tries one job first, or that watches failures, goes on at the next call, when its jobs have run; the counts of what
    became of them are new at each call. It works inside a test's transaction.
    """
    commits = Commits()
    found = list(Operation.primary.filter(is_settled=False).order_by("pk"))
    work = OperationWork(minds_rates=False)
    # A job stays Pending as long as the broker cannot be reached.
    with broker_in_place(MemoryBroker(is_down=True)):
        while work.do_round():
            commits.run()
        commits.run()
    for item in found:
        item.refresh_from_db(using=item._state.db)
        operation_work.count_outcomes(item)
    return describe_operations(found)
