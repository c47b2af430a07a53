"""Cells of the jobs list that lead somewhere: the error, and whatever a click narrows the list to."""

from __future__ import annotations

from typing import Any, Final

from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobs.admin.formatting import NOTHING, line
from django_jobs.admin.monitor_links import Links
from django_jobs.models import Job
from django_jobs.statuses import WITH_ERRORS

#: Characters of an error in a row, and of any other name.
ERROR: Final = 120
NAME: Final = 40


def narrowing(job: Job, text: Any, title: str, **query: Any) -> SafeString:
    """Return a text as a link that narrows the list to the rows that have it in common, on top of what narrows it."""
    make = getattr(job, "narrowed", None) or (lambda **asked: f"?{urlencode(asked)}")
    return format_html('<a href="{}" title="{}">{}</a>', make(**query), title, text)


def error_text(job: Any) -> str:
    """Return the first characters of the error of a job whose last attempt failed; empty for others."""
    return str(getattr(job, "error_start", "")) if job.status in WITH_ERRORS else ""


def error_link(site: str, job: Any) -> str:
    """Return the address of the jobs that failed in the same way; empty for a job that did not fail."""
    return Links(site).failure_group(job.job_type_id, job.error_fingerprint) if error_text(job) else ""


def error_cell(site: str, job: Any) -> SafeString:
    """Return the error as a link to those like it. The page's script fills it when a job fails while one looks."""
    text = error_text(job)
    address = error_link(site, job)
    target = format_html(' href="{}"', address) if address else ""
    return format_html('<a class="djobs-error" data-djobs-error="{}"{}>{}</a>', job.pk, target, cut(text))


def cut(text: str) -> str:
    """Return the text in one line, with a mark where it goes on."""
    flat = " ".join(text.split())
    return flat if len(text) <= ERROR else f"{flat[:ERROR]}…"


def type_cell(job: Job) -> SafeString:
    """Return the type, as a link to the jobs of it."""
    name = line(job.job_type_id, NAME)
    return narrowing(job, name, _("Jobs of this type"), type=job.job_type_id)


def owner_cell(job: Job) -> SafeString | str:
    """Return the owner's name, as a link to their jobs; a dash without one."""
    if not job.owner_name:
        return NOTHING
    return narrowing(job, line(job.owner_name, NAME), _("Jobs of this user"), owner=job.owner_name)


def batch_cell(job: Any) -> SafeString | str:
    """Return the batch, as a link to its jobs; nothing where the job is in none."""
    batch = getattr(job, "batch_of_list", None)
    return narrowing(job, batch.batch_id, _("Jobs of this batch"), batch=batch.batch_id) if batch else ""
