"""A job's attempts on one axis of time: how long each waited, ran and backed off. Nothing here reads the database.

Time in which the job had ended, until somebody retried it, is cut out of the axis: it may be days, beside which no
attempt would be seen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from typing import Final, Protocol

from django_jobs.statuses import AWAITING_RETRY, POSTPONED, TERMINAL, Status

#: Attempts that are shown, the newest ones.
MAX_ATTEMPTS: Final = 20


class SpanKind(StrEnum):
    """What a job did in a span of time."""

    WAITED = "waited"
    RAN = "ran"
    BACKED_OFF = "backed-off"


class Change(Protocol):
    """A row of the Execution Log, as far as it is needed here."""

    @property
    def from_status(self) -> str: ...
    @property
    def to_status(self) -> str: ...
    @property
    def timestamp(self) -> dt.datetime: ...
    @property
    def attempt(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSpan:
    """From when to when, in seconds on the axis; ``is_open`` if it goes on."""

    kind: SpanKind
    start: float
    end: float
    is_open: bool = False


@dataclass(slots=True, kw_only=True)
class AttemptSpans:
    """What belongs to one attempt: its wait, its run and the back-off after it.

    ``number`` is None for one that has not started. ``started`` and ``ended`` are the changes of status at its run.
    """

    number: int | None = None
    spans: list[AttemptSpan] = field(default_factory=list)
    started: Change | None = None
    ended: Change | None = None

    def seconds(self, kind: SpanKind) -> float | None:
        """Return for how long it did this; None where it did not."""
        found = [span.end - span.start for span in self.spans if span.kind == kind]
        return sum(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """The newest attempts, the oldest of them first, on an axis of ``length`` seconds.

    ``breaks`` are the places at which time was cut out. ``hidden`` is how many older attempts are not here.
    """

    attempts: list[AttemptSpans]
    length: float
    breaks: list[float]
    hidden: int

    def shifted(self, start: float) -> Waterfall:
        """Return the same on an axis that begins so many seconds later."""
        attempts = [
            AttemptSpans(
                number=item.number,
                spans=[
                    AttemptSpan(kind=span.kind, start=span.start - start, end=span.end - start, is_open=span.is_open)
                    for span in item.spans
                ],
                started=item.started,
                ended=item.ended,
            )
            for item in self.attempts
        ]
        breaks = [place - start for place in self.breaks if place > start]
        return Waterfall(attempts=attempts, length=self.length - start, breaks=breaks, hidden=self.hidden)


def lay_out(changes: Sequence[Change], now: dt.datetime, total: int, most: int = MAX_ATTEMPTS) -> Waterfall:
    """Return the newest ``most`` attempts of a job with so many in all, from its changes of status in their order.

    Of a history that was read from its middle on, the first attempt may be a part of one.
    """
    axis = _Axis(changes[0].timestamp if changes else now)
    found: list[AttemptSpans] = []
    waiting = AttemptSpans()
    for change, following in zip_longest(changes, changes[1:]):
        end = following.timestamp if following else None
        if change.from_status == Status.RUNNING and found:
            found[-1].ended = change
        if change.to_status in TERMINAL:
            axis.cut(end)
            continue
        span = axis.span(_kind_of(change), end or now, is_open=end is None)
        if span.kind == SpanKind.RAN:
            found.append(AttemptSpans(number=change.attempt, spans=[*waiting.spans, span], started=change))
            waiting = AttemptSpans()
        elif span.end > span.start or span.is_open:
            (found[-1] if span.kind == SpanKind.BACKED_OFF and found else waiting).spans.append(span)
    shown = [*found, *([waiting] if waiting.spans else [])][-most:]
    ran = sum(item.number is not None for item in shown)
    waterfall = Waterfall(attempts=shown, length=axis.at, breaks=axis.breaks, hidden=max(0, total - ran))
    return waterfall.shifted(min((span.start for item in shown for span in item.spans), default=0.0))


def _kind_of(change: Change) -> SpanKind:
    if change.to_status == Status.RUNNING:
        return SpanKind.RAN
    is_postponed = (change.from_status, change.to_status) == POSTPONED
    return SpanKind.BACKED_OFF if change.to_status in AWAITING_RETRY or is_postponed else SpanKind.WAITED


class _Axis:
    """Seconds since the first change, without the time in which the job had ended."""

    def __init__(self, start: dt.datetime) -> None:
        self.at = 0.0
        self.breaks: list[float] = []
        self._moment = start

    def span(self, kind: SpanKind, end: dt.datetime, *, is_open: bool) -> AttemptSpan:
        start, self.at = self.at, self.at + self._advance(end)
        return AttemptSpan(kind=kind, start=start, end=self.at, is_open=is_open)

    def cut(self, end: dt.datetime | None) -> None:
        if end is not None and self._advance(end) > 0:
            self.breaks.append(self.at)

    def _advance(self, end: dt.datetime) -> float:
        """Return how many seconds passed; a clock that was set back counts as one that stood still."""
        seconds = max(0.0, (end - self._moment).total_seconds())
        self._moment = max(self._moment, end)
        return seconds
