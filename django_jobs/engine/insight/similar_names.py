"""Names that somebody may have meant who gave one that is not there. What is read is bounded, however much there is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final

from django.db.models import CharField, QuerySet, TextField

from django_jobs.conf import jobs_settings
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.lookup import find_job
from django_jobs.engine.store import database
from django_jobs.exceptions import JobNotFound
from django_jobs.models import Job, JobType, Schedule, get_organization_model
from django_jobs.models.job import format_job_id

#: Names that are suggested at most.
MAX_SUGGESTED: Final = 3
#: How alike they must be, from 0 to 1 (the ratio of ``difflib``).
CUTOFF: Final = 0.6
#: Of a table with at most so many rows all names are compared; of a larger one, those near in the order of names.
MAX_COMPARED: Final = 500
#: Neighbors that are read on each side of a name, and characters of its beginnings whose neighbors are read too.
NEIGHBORS: Final = 40
BEGINNINGS: Final = (3, 6, 10)
#: A longer text is nobody's typing error.
MAX_TEXT: Final = 200
_NUMBER: Final = re.compile(r"(\d{1,18})\D*\Z", re.ASCII)


def similar(text: str, names: Iterable[str]) -> list[str]:
    """Return up to MAX_SUGGESTED of the names that look like the text, the most alike first; case does not count."""
    if len(text) > MAX_TEXT:
        return []
    by_lower: dict[str, str] = {}
    for name in names:
        by_lower.setdefault(name.lower(), name)
    found = difflib.get_close_matches(text.lower(), by_lower, MAX_SUGGESTED, CUTOFF)
    begun = [low for low in by_lower if len(text) > 1 and low.startswith(text.lower())]
    return [by_lower[low] for low in dict.fromkeys([*found, *sorted(begun)])][:MAX_SUGGESTED]


def similar_job_types(text: str) -> list[str]:
    """Return the names of job types that look like this one."""
    return similar(text, near(JobType.primary.all(), "type_name", text))


def similar_schedules(text: str) -> list[str]:
    """Return the names of schedules that look like this one."""
    return similar(text, near(Schedule.primary.all(), "name", text))


def similar_organizations(text: str) -> list[str]:
    """Return the ids of organizations that look like this one; none where ids are no texts."""
    model = get_organization_model()
    name = str(jobs_settings.ORGANIZATION_ID_FIELD)
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    if not isinstance(field, CharField | TextField):
        return []
    return similar(text, near(database.rows(model), field.name, text))


def similar_jobs(text: str, user: Any = None) -> list[str]:
    """Return the id of the job that has the number at the end of the text, such as of one with another year."""
    number = _NUMBER.search(text) if len(text) <= MAX_TEXT else None
    row = Job.primary.filter(pk=int(number[1])).only("pk", "created_at").first() if number else None
    if row is None:
        return []
    try:
        return [find_job(format_job_id(row.pk, row.created_at.year), user).name]
    except JobNotFound:
        return []


def near(rows: QuerySet[Any], field: str, text: str) -> list[str]:
    """Return values of a column that has an index: all of a small table, and of a large one those that sort near."""
    if len(text) > MAX_TEXT or not is_storable_text(text):
        return []
    values = rows.order_by().values_list(field, flat=True)
    found = list(values[: MAX_COMPARED + 1])
    if len(found) <= MAX_COMPARED:
        return found
    spellings = dict.fromkeys([text, text.lower(), text.upper(), text.capitalize()])
    marks = dict.fromkeys([*spellings, *(word[:length] for word in spellings for length in BEGINNINGS)])
    near_by: dict[str, None] = {}
    for mark in marks:
        near_by |= dict.fromkeys(values.filter(**{f"{field}__gte": mark}).order_by(field)[:NEIGHBORS])
        near_by |= dict.fromkeys(values.filter(**{f"{field}__lt": mark}).order_by(f"-{field}")[:NEIGHBORS])
    return list(near_by)
