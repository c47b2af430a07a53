"""Head starts: how jobs of one priority, organization and type come into another order than that of their moments.

The jobs of a lane go in the order of ``ready_at``. A job with a head start stands in its lane as if its moment had come
that many hours earlier: what ``Job.head_start`` says is taken off ``ready_at`` when the job comes into the lane, not
before. So while the job waits for a moment, ``ready_at`` is that moment; in a lane, :func:`waits_since` tells it.

Of two jobs the one with the larger head start goes first, unless the other has waited longer by more than what their
head starts differ in: nothing waits behind new jobs for ever.

A lane may be walked from a mark (``engine.dispatch.lane_marks``). A job that a head start brings before the mark is
found by the next whole walk, after 30 seconds at most.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.db.models import Case, DateTimeField, DurationField, ExpressionWrapper, F, Func, Value, When

from django_jobs.models import Job

#: What a head start of 1 is.
HOUR: Final = dt.timedelta(hours=1)


class _HeadStart(Func):
    """The head start of a row, as Django writes durations: in microseconds, where the database has no type for them."""

    template = "(%(expressions)s * 3600000000)"
    output_field = DurationField()

    def __init__(self) -> None:
        super().__init__(F("head_start"))

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return SQL of an interval."""
        return self.as_sql(compiler, connection, template="(%(expressions)s * interval '1 hour')", **context)


def place_in_lane(moment: Any, head_start: int | None = None) -> Any:
    """Return ``ready_at`` of a job in a lane for the moment at which it became ready, which may be an expression.

    Without a ``head_start`` it is an expression, of the row's own.
    """
    if head_start is not None:
        return moment - head_start * HOUR
    before = Value(moment, output_field=DateTimeField()) if isinstance(moment, dt.datetime) else moment
    return ExpressionWrapper(before - _HeadStart(), output_field=DateTimeField())


def waits_since() -> Any:
    """Return an expression: since when a job waits that is ready, or the moment for which it waits."""
    in_lane = ExpressionWrapper(F("ready_at") + _HeadStart(), output_field=DateTimeField())
    return Case(When(is_delayed=True, then=F("ready_at")), default=in_lane, output_field=DateTimeField())


def waits_since_of(job: Job) -> dt.datetime | None:
    """Return the same of one row; None if it is not ready."""
    return job.ready_at if job.ready_at is None or job.is_delayed else job.ready_at + job.head_start * HOUR
