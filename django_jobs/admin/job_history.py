"""What happened to one job: attempts as a drawing, entries of the log, logs of its handler."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.bar import jobs_of
from django_jobs.admin.pages import Links, OwnPages, view
from django_jobs.admin.writing import badge, block, brief_duration, line, moment, zone_text
from django_jobs.engine.execution.handler_logs import Line
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.models import AttemptLog, ExecutionLog, Job
from django_jobs.statuses import AWAITING_RETRY, POSTPONED, TERMINAL, Status

# A job's Execution Log as a timeline, and its attempts.


#: Changes of status that the timeline shows, and that are read for the newest attempts.
ROWS: Final = 30
READ: Final = 120
MESSAGE: Final = 200
ALL_ROWS: Final = 2_000


def read_history(
    job: Job, now: dt.datetime, links: Links, *, whole: bool, is_for_admins: bool, logs: Mapping[int, Any]
) -> dict[str, Any]:
    """Return the newest changes of a job in their order, and its newest attempts, the newest first: one statement.

    A traceback may quote secrets: unless it ``is_for_admins`` none is read, and no name of a machine is shown. With
    ``whole``, long texts are not cut. ``logs`` is what is shown of the handlers' own log lines, by attempt.

    ``is_cut`` says that there are more changes, ``hidden`` how many earlier attempts are left out, ``has_ended`` that
    no attempt follows. ``traceback`` is that of the newest error.
    """
    shown = ALL_ROWS if whole else ROWS
    rows = ExecutionLog.primary.filter(job_id=job.pk).order_by("-pk")
    found = list((rows if is_for_admins else rows.defer("traceback"))[: max(shown + 1, READ)])
    changes: list[Any] = list(reversed(found))
    waterfall = lay_out(changes, now, job.attempt, ALL_ROWS if whole else MAX_ATTEMPTS)
    latest = changes[-shown:]
    has_ended = bool(changes) and changes[-1].to_status in TERMINAL
    for log, following in zip_longest(latest, latest[1:]):
        log.shown_message = _message(log, whole) if log.message else ""
        # How long the status held; of an end nothing is told.
        if following or not has_ended:
            log.lasted = ((following.timestamp if following else now) - log.timestamp).total_seconds()
    return {
        "steps": latest,
        "attempts": [
            _attempt(item, waterfall, links, whole, is_for_admins, logs.get(item.number or 0, ""))
            for item in reversed(waterfall.attempts)
        ],
        "is_cut": len(found) > shown,
        "hidden": waterfall.hidden,
        "ticks": tick_labels(waterfall),
        "traceback": next((log.traceback for log in found if log.traceback), "") if is_for_admins else "",
        "has_ended": has_ended,
    }


def _message(log: ExecutionLog, whole: bool) -> Any:
    """Return the message of a change. The errors of attempts stand in full beside those, so here they are cut."""
    is_told = log.from_status == Status.RUNNING
    return line(log.message, MESSAGE) if is_told or len(log.message) <= MESSAGE else block(log.message, whole=whole)


def _attempt(
    item: AttemptSpans, waterfall: Waterfall, links: Links, whole: bool, is_for_admins: bool, log: Any
) -> dict[str, Any]:
    """Return one run by one worker, or the wait for it, with its bars. ``number`` is 0 for one that has not started."""
    started: Any = item.started
    ended: Any = item.ended
    is_bad = ended is not None and ended.to_status != Status.COMPLETED
    latest = ended or started
    worker = latest.worker_name or started.worker_name if started else ""
    return {
        "number": item.number or 0,
        "worker": jobs_of(links, "worker", worker, 40) if worker and is_for_admins else "",
        "started": moment(started.timestamp) if started else "",
        "lasted": [brief_duration(item.seconds(kind)) for kind in SpanKind],
        "strip": draw_strip(item, waterfall),
        "badge": badge(latest.to_status) if latest else "",
        "error": block(ended.message, whole=whole) if is_bad else "",
        "traceback": block(ended.traceback, whole=whole) if is_bad and is_for_admins and ended.traceback else "",
        "log": log,
    }


# A job's attempts on one axis of time: how long each waited, ran and backed off. Nothing here reads the database.
#
# Time in which the job had ended, until somebody retried it, is cut out of the axis: it may be days, beside which no
# attempt would be seen.


#: Attempts that are shown, the newest ones.
MAX_ATTEMPTS: Final = 20


class SpanKind(StrEnum):
    """What a job did in a span of time."""

    WAITED = "waited"
    RAN = "ran"
    BACKED_OFF = "backed-off"


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
    started: ExecutionLog | None = None
    ended: ExecutionLog | None = None

    def seconds(self, kind: SpanKind) -> float | None:
        """Return for how long it did this; None where it did not."""
        found = [span.end - span.start for span in self.spans if span.kind == kind]
        return sum(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """The newest attempts, the oldest of them first, and the seconds of the axis from the first of them on.

    ``breaks`` are the places at which time was cut out. ``hidden`` is how many older attempts are not here.
    """

    attempts: list[AttemptSpans]
    start: float
    end: float
    breaks: list[float]
    hidden: int

    @property
    def length(self) -> float:
        """Return how long the axis is, in seconds."""
        return self.end - self.start


def lay_out(changes: Sequence[ExecutionLog], now: dt.datetime, total: int, most: int = MAX_ATTEMPTS) -> Waterfall:
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
    start = min((span.start for item in shown for span in item.spans), default=0.0)
    breaks = [place for place in axis.breaks if place > start]
    return Waterfall(attempts=shown, start=start, end=axis.at, breaks=breaks, hidden=max(0, total - ran))


def _kind_of(change: ExecutionLog) -> SpanKind:
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


# The bars of a job's attempts as SVG, a strip for each, without scripts or inline styles.
#
# All strips of a page have the same axis. They stretch with their column, so no text is in them: the table that they
# stand in says the same in numbers, and assistive technology reads those.


#: Units of the drawing.
WIDTH: Final = 1000
HEIGHT: Final = 16
#: The least width of a bar, so that a short run beside long waits is still seen.
LEAST: Final = 5.0
#: The top of each kind's bar and its height: they differ in form too, for those who do not tell the colors.
FORMS: Final = {SpanKind.WAITED: (6, 4), SpanKind.RAN: (1, 14), SpanKind.BACKED_OFF: (7, 2)}
TICKS: Final = 2


def draw_strip(item: AttemptSpans, waterfall: Waterfall) -> SafeString:
    """Return the bars of one attempt on the axis of all."""
    scale = WIDTH / waterfall.length if waterfall.length > 0 else 0.0
    bars = format_html_join("", "{}", ((_bar(span, waterfall.start, scale),) for span in item.spans))
    breaks = format_html_join(
        "",
        '<rect class="djobs-span-break" x="{}" y="0" width="2" height="{}"></rect>',
        ((round((place - waterfall.start) * scale, 1), HEIGHT) for place in waterfall.breaks),
    )
    return format_html(
        '<svg class="djobs-strip" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        "{}{}</svg>",
        WIDTH,
        HEIGHT,
        breaks,
        bars,
    )


def _bar(span: AttemptSpan, start: float, scale: float) -> SafeString:
    width = max(LEAST, (span.end - span.start) * scale)
    top, height = FORMS[span.kind]
    return format_html(
        '<rect class="djobs-span-{}{}" x="{}" y="{}" width="{}" height="{}"></rect>',
        span.kind.value,
        " djobs-span-open" if span.is_open else "",
        round(max(0.0, min((span.start - start) * scale, WIDTH - width)), 1),
        top,
        round(width, 1),
        height,
    )


def tick_labels(waterfall: Waterfall) -> list[str]:
    """Return what stands below the axis at equal distances, from its beginning to its end."""
    if waterfall.length <= 0:
        return []
    return [brief_duration(waterfall.length * place / TICKS) if place else "0" for place in range(TICKS + 1)]


# The lines that a job's handler wrote to the log: of the latest attempt on its page, of each on a page of its own.


#: Attempts whose logs are linked, where all attempts are shown.
ALL_ATTEMPTS: Final = 500
#: As many lines of the latest attempt stand on the job's page.
INLINE: Final = 200
#: Levels that are marked. Others, also those of the host's own, are not.
BAD: Final = frozenset({"WARNING", "ERROR", "CRITICAL"})


class JobLogs(OwnPages):
    """The logs on a job's page, and the page of one attempt's."""

    def read_logs(self, job: Job, scope: Scope, *, whole: bool) -> dict[int, dict[str, Any]]:
        """Return what is shown of the newest attempts' logs, by attempt; nothing to whom the policy does not show it.

        Of the latest one that wrote anything the lines are there, of the others a link.
        """
        if not scope.may("can_read_logs", job):
            return {}
        rows = AttemptLog.primary.filter(job_id=job.pk).order_by("-attempt").defer("first_lines", "last_lines")
        found = list(rows[: ALL_ATTEMPTS if whole else MAX_ATTEMPTS])
        page_url = self.url_of("change", job.pk).removesuffix("change/")
        shown: dict[int, dict[str, Any]] = {
            row.attempt: {"title": _title(row), "url": f"{page_url}log/{row.attempt}/"} for row in found
        }
        if found and found[0].kept <= INLINE:
            shown[found[0].attempt] = {"title": _title(found[0]), "zone": zone_text(), "lines": _lines(found[0])}
        return shown

    @view("<path:object_id>/log/<int:attempt>/", "log")
    def _log(self, request: HttpRequest, job: Job, attempt: int) -> HttpResponse:
        if not scope_of(request).may("can_read_logs", job):
            raise PermissionDenied
        row = AttemptLog.primary.filter(job_id=job.pk, attempt=attempt).first()
        if row is None:
            raise Http404
        title = f"{job.name}: {_('attempt %(number)s') % {'number': attempt}}"
        back_url = self.url_of("change", job.pk)
        log = {"zone": zone_text(), "lines": _lines(row)}
        return self.page(request, "job/log.html", title, title, log=log, back_url=back_url, job=job)


def _title(row: AttemptLog) -> str:
    number = row.kept + row.dropped
    return ngettext("%(number)d line of its log", "%(number)d lines of its log", number) % {"number": number}


def _lines(row: AttemptLog) -> list[dict[str, Any]]:
    """Return the lines that were kept, and between the first and the last ones how many were not."""
    text = ngettext("%(number)d line is not kept.", "%(number)d lines are not kept.", row.dropped)
    gap = [{"cut": text % {"number": row.dropped}}] if row.dropped else []
    return [*map(_line, row.first_lines), *gap, *map(_line, row.last_lines)]


def _line(stored: Sequence[Any]) -> dict[str, Any]:
    told = Line(*stored)
    moment = dt.datetime.fromtimestamp(told.moment, dt.UTC)
    time = f"{localtime(moment):%H:%M:%S}.{moment.microsecond // 1000:03d}"
    return {"told": told, "moment": moment.isoformat(), "time": time, "is_bad": told.level in BAD}
