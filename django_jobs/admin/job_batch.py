"""What the list and the page of jobs tell of the batch that a job belongs to, and of what submitted it."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.bounded_filters import NOTHING, ListedJobsFilter
from django_jobs.admin.formatting import line
from django_jobs.admin.monitor_links import Links
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.models import Batch, Job
from django_jobs.models.batch import parse_batch_id


class BatchFilter(ListedJobsFilter):
    """Narrows the list to the jobs of the batch that the address names. It is shown only then: pages of batches lead
    here, and the search finds the jobs of any batch by its id.
    """

    title = gettext_lazy("batch")
    parameter_name = "batch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        asked = self.value()
        if not asked:
            return []
        self._found = Batch.primary.visible_to(request.user).filter(pk=(parse_batch_id(asked) or (0, 0))[0]).first()
        if self._found is not None and self._found.batch_id != asked:
            self._found = None
        return [(asked, str(self._found) if self._found else _("There is no such batch."))]

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this batch."""
        return NOTHING if self._found is None else JobFilter(batch=parse_batch_id(asked))


def batch_line(site: str, job: Job) -> SafeString | str:
    """Return the batch that a job counts for, with a link."""
    found = Batch.primary.filter(pk=job.batch_id or 0).only("name", "created_at").first()
    return _("a batch that is deleted") if found is None else _named(site, found)


def followed_line(site: str, job: Any) -> SafeString:
    """Return the batch that submitted a job when it ended, with a link and the reason."""
    code, text = "on_failure", _("{batch}, when it had ended and not all of its jobs completed")
    if job.follows.then_job_id == job.pk:
        code, text = "then", _("{batch}, when it had ended and all its jobs completed")
    return format_html(text, batch=_named(site, job.follows, code))


def followed_batch(job: Job) -> Batch | None:
    """Return the batch at whose end the job was submitted."""
    if job.submitted_by_id is not None or job.batch_id is not None:
        return None
    rows = Batch.primary.filter(Q(then_job_id=job.pk) | Q(on_failure_job_id=job.pk))
    return rows.only("name", "created_at", "then_job_id").first()


def submitter_of(job: Any) -> Job | None:
    """Return the job whose handler submitted a job, read once for a page; None if there is none, or it is deleted."""
    if "submitter_found" not in job.__dict__:
        rows = Job.primary.filter(pk=job.submitted_by_id or 0).only("created_at", "organization_id")
        job.submitter_found = rows.first()
    found: Job | None = job.submitter_found
    return found


def is_submitter_hidden(user: Any, job: Job) -> bool:
    """Return whether the handler of another organization's job submitted this one, whose jobs the user does not see."""
    found = submitter_of(job) if job.submitted_by_id is not None else None
    if found is None or found.organization_id == job.organization_id:
        return False
    return not Job.primary.visible_to(user).filter(pk=found.pk).exists()


def submitter_line(site: str, job: Job) -> SafeString | str:
    """Return the job whose handler submitted a job, with a link, and in which attempt."""
    found = submitter_of(job)
    if found is None:
        name: SafeString | str = _("a job that is deleted")
    else:
        name = format_html('<a href="{}">{}</a>', Links(site).page("django_jobs_job_change", found.pk), found.name)
    if not job.submitted_by_attempt:
        return name
    return format_html(_("{job}, attempt {number}"), job=name, number=job.submitted_by_attempt)


def _named(site: str, batch: Batch, code: str = "batch") -> SafeString | str:
    """Return a batch as a link to its page, if the site has one; ``code`` says what it is to the job."""
    address = Links(site).batch(batch.pk)
    return format_html('<a href="{}" data-code="{}">{}</a>', address, code, batch) if address else line(str(batch))
