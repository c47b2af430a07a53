"""The schedule that submitted a job, as its metadata say."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobs.admin.formatting import linked, moment
from django_jobs.engine.schedules.definitions import may_manage
from django_jobs.models import Job, Schedule


class Origin(NamedTuple):
    """A schedule, and the moment for which it submitted a job."""

    pk: int
    name: str
    due: dt.datetime


def schedule_of(user: Any, job: Job) -> Origin | None:
    """Return the schedule that submitted the job, if the user manages it.

    Whoever submits a job writes its metadata. So they are believed only where there is such a schedule, which submits
    this type for this organization.
    """
    said: Any = job.metadata if isinstance(job.metadata, dict) else {}
    name, due = said.get("schedule"), _moment(said.get("scheduled_for"))
    if not isinstance(name, str) or due is None:
        return None
    rows = Schedule.primary.filter(name=name, job_type_id=job.job_type_id)
    for found in rows.filter(organization_key__in=[str(job.organization_id), ""]).order_by("-organization_key"):
        if found.name == name and may_manage(user, found):
            return Origin(found.pk, found.name, due)
    return None


def schedule_line(site: str, job: Any) -> SafeString:
    """Return the schedule that submitted a job, with a link, and for which moment."""
    address = reverse(f"{site}:django_jobs_schedule_change", args=(job.schedule.pk,))
    schedule = linked(address, format_html("<bdi>{}</bdi>", job.schedule.name))
    # Translators: what submitted a job, and for which moment.
    return format_html(_("the schedule {schedule} for {moment}"), schedule=schedule, moment=moment(job.schedule.due))


def _moment(value: object) -> dt.datetime | None:
    try:
        found = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and timezone.is_aware(found) else None
