"""What stands on a job's page around its facts, and how often an open page asks for it."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_jobs.admin.base import is_system_admin
from django_jobs.admin.formatting import badge
from django_jobs.admin.job_columns import is_stopping, note
from django_jobs.admin.job_error import JobError, read_error
from django_jobs.admin.job_history import read_history
from django_jobs.admin.job_logs import JobLogs
from django_jobs.admin.job_output import may_read_results
from django_jobs.admin.job_relatives import Relatives, draw_family, read_relatives
from django_jobs.admin.job_work import read_work
from django_jobs.admin.live_socket import socket_url
from django_jobs.admin.monitor_links import Links
from django_jobs.engine.store import database
from django_jobs.models import Job
from django_jobs.statuses import FINAL, UNFINISHED

#: Milliseconds after which an open page asks again: while its job goes on; while only its relatives may change, or
#: somebody may retry it; once nothing changes but that it is deleted.
PAUSE: Final = 2_000
CALM_PAUSE: Final = 5_000
FINAL_PAUSE: Final = 10_000
#: With everything shown a page may be large.
WHOLE_PAUSE: Final = 15_000


class JobPage(JobLogs):
    """Puts together what the ``job_*`` files tell of one job."""

    def page_of(self, request: HttpRequest, job: Any, buttons: list[tuple[Any, str]]) -> dict[str, Any]:
        """Return what the template of a job's page shows around the fields."""
        whole, is_admin, now = job.shows_all, is_system_admin(request), database.now()
        links = Links(self.admin_site.name)
        logs = self.read_logs(job, request.user, whole=whole)
        history = read_history(job, now, links, whole=whole, is_for_admins=is_admin, logs=logs)
        error = read_error(job, history.traceback, now, links, whole=whole)
        relatives = read_relatives(job, request.user, whole=whole)
        return {
            "subtitle": None,
            "title": job.name,
            "badge": badge(job.status),
            "note": note(job),
            "news": _news(job, error),
            "error": error,
            "history": history,
            "work": read_work(job, job.hidden_names, whole=whole, results=may_read_results(request, job)),
            "relatives": [found for found in relatives if found.jobs],
            "family": draw_family(job, relatives[0], relatives[1], links),
            "undrawn": [(found.undrawn, found) for found in relatives[:2] if found.undrawn],
            "shows_all": whole,
            "shows_tracebacks": is_admin,
            "buttons": buttons,
            "pause": _pause(job, relatives),
            "socket_url": socket_url(request),
        }


def _news(job: Job, error: JobError | None) -> str:
    """Return what is read out once it changes, and so tells no time: which job is in which status, and why."""
    status = _("stopping") if is_stopping(job) else job.status
    said = _("%(job)s: %(status)s.") % {"job": job.name, "status": status}
    why = error.title if error is not None and not error.is_earlier else ""
    return f"{said} {why}".strip()


def _pause(job: Any, relatives: list[Relatives]) -> int:
    if job.shows_all:
        return WHOLE_PAUSE
    if job.status in UNFINISHED:
        return PAUSE
    return FINAL_PAUSE if job.status in FINAL and not any(found.goes_on for found in relatives) else CALM_PAUSE
