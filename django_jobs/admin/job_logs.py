"""The lines that a job's handler wrote to the log: of the latest attempt on its page, of each on a page of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.attempt_spans import MAX_ATTEMPTS
from django_jobs.admin.base import OwnPages, View
from django_jobs.admin.formatting import zone_text
from django_jobs.engine.access import get_policy
from django_jobs.engine.log_lines import Line
from django_jobs.models import AttemptLog, Job

#: Attempts whose logs are linked, where all attempts are shown.
ALL_ATTEMPTS: Final = 500
#: As many lines of the latest attempt stand on the job's page.
INLINE: Final = 200
#: Levels that are marked. Others, also those of the host's own, are not.
BAD: Final = frozenset({"WARNING", "ERROR", "CRITICAL"})


class JobLogs(OwnPages):
    """The logs on a job's page, and the page of one attempt's."""

    def log_views(self) -> dict[str, tuple[str, View]]:
        """Return the route and the view of an attempt's log, by name."""
        return {"log": ("<path:object_id>/log/<int:attempt>/", self._log)}

    def read_logs(self, job: Job, user: Any, *, whole: bool) -> dict[int, SafeString]:
        """Return what is shown of the newest attempts' logs, by attempt; nothing to whom the policy does not show it.

        Of the latest one that wrote anything the lines are there, of the others a link.
        """
        if not get_policy().can_read_logs(user, job):
            return {}
        rows = AttemptLog.primary.filter(job_id=job.pk).order_by("-attempt").defer("first_lines", "last_lines")
        found = list(rows[: ALL_ATTEMPTS if whole else MAX_ATTEMPTS])
        shown = {row.attempt: self._linked(row, job) for row in found}
        if found and found[0].kept <= INLINE:
            shown[found[0].attempt] = _folded(found[0])
        return shown

    def _linked(self, row: AttemptLog, job: Job) -> SafeString:
        address = f"{self.url_of('change', job.pk).removesuffix('change/')}log/{row.attempt}/"
        return format_html('<a href="{}">{}</a>', address, _title(row))

    def _log(self, request: HttpRequest, object_id: str, attempt: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = self.find(request, object_id)
        if job is None:
            return self.gone(request, object_id)
        if not get_policy().can_read_logs(request.user, job):
            raise PermissionDenied
        row = AttemptLog.primary.filter(job_id=job.pk, attempt=attempt).first()
        if row is None:
            raise Http404
        title = _("%(job)s: log of attempt %(number)d") % {"job": job.name, "number": attempt}
        back_url = self.url_of("change", job.pk)
        return self.page(request, "job/log.html", title, title, lines=_shown(row), back_url=back_url, job=job)


def _title(row: AttemptLog) -> str:
    number = row.kept + row.dropped
    return ngettext("%(number)d line of its log", "%(number)d lines of its log", number) % {"number": number}


def _folded(row: AttemptLog) -> SafeString:
    return format_html(
        '<details data-djobs-fold="log {}"><summary>{}</summary>{}</details>', row.attempt, _title(row), _shown(row)
    )


def _shown(row: AttemptLog) -> SafeString:
    first, last = ([Line(*line) for line in lines] for lines in (row.first_lines, row.last_lines))
    return format_html(
        '<p class="help djobs-log-zone">{}</p><ol class="djobs-log" dir="auto" tabindex="0">{}{}{}</ol>',
        zone_text(),
        _items(first),
        _gap(row.dropped),
        _items(last),
    )


def _gap(dropped: int) -> SafeString | str:
    if not dropped:
        return ""
    words = ngettext("%(number)d line is not kept.", "%(number)d lines are not kept.", dropped) % {"number": dropped}
    return format_html('<li class="djobs-log-cut">… {}</li>', words)


def _items(lines: Sequence[Line]) -> SafeString:
    return format_html_join(
        "",
        '<li><time datetime="{}">{}</time> <span class="{}">{}</span> <small>{}</small> <bdi>{}</bdi></li>',
        (
            (
                moment.isoformat(),
                f"{localtime(moment):%H:%M:%S}.{moment.microsecond // 1000:03d}",
                "djobs-log-bad" if line.level in BAD else "djobs-log-level",
                line.level,
                line.logger,
                line.text,
            )
            for line in lines
            for moment in [dt.datetime.fromtimestamp(line.moment, dt.UTC)]
        ),
    )
