"""Jobs as CSV, sent piece by piece, in cells that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import datetime as dt
import json
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest

from django_jobs.admin.job_columns import EXPORTED
from django_jobs.downloads import Download
from django_jobs.engine.access import may_hide_jobs, may_view
from django_jobs.engine.job_types.masking import Names, hidden_from, masked
from django_jobs.engine.store import organization_ids
from django_jobs.models import Job

BATCH: Final = 500
MAX_ROWS: Final = 100_000
#: The last column; the others are ``job_columns.EXPORTED``.
PARAMETERS: Final = "parameters"
_LARGE: Final = ("result", "metadata", "output_reference")
#: A formula begins with one of these, in ASCII or as what Unicode holds for the same, behind what nobody sees: blanks,
#: controls, marks, and letters and symbols without a picture.
_SIGNS: Final = frozenset("=+-@")
_UNSEEN: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")


class _Echo:
    """A file that returns what is written to it."""

    def write(self, text: str) -> str:
        return text


def csv_of(request: HttpRequest, queryset: QuerySet[Any]) -> Download:
    """Return the newest MAX_ROWS of these jobs as a download, read in batches so that they are never all in memory.

    Jobs that the policy hides from the user are left out: a row has parameters, which no list shows.
    """
    name = f"jobs-{dt.datetime.now(dt.UTC):%Y-%m-%d-%H%M}.csv"
    return Download(_parts(queryset, request.user, hidden_from(request.user)), name, "text/csv; charset=utf-8")


def _parts(queryset: QuerySet[Any], user: Any, hidden: Names) -> Iterator[str]:
    echo: Any = _Echo()
    writer: Any = csv.writer(echo)
    yield writer.writerow([*EXPORTED, PARAMETERS])
    left, last = MAX_ROWS, None
    # A connection pool may keep no cursor between pages, so each page begins where the one before ended, by key.
    rows = queryset.order_by("-pk").defer(None).defer(*_LARGE)
    while left > 0:
        page = list((rows if last is None else rows.filter(pk__lt=last))[: min(BATCH, left)])
        if not page:
            return
        organization_ids.mark(page)
        yield "".join(writer.writerow(map(_cell, _values(job, hidden))) for job in _shown(page, user))
        left, last = left - len(page), page[-1].pk


def _shown(jobs: list[Job], user: Any) -> list[Job]:
    return [job for job in jobs if may_view(user, job)] if may_hide_jobs() else jobs


def _values(job: Job, hidden: Names) -> list[Any]:
    return [*(value_of(job) for value_of in EXPORTED.values()), _parameters(job, hidden)]


def _parameters(job: Job, hidden: Names) -> str:
    return json.dumps(masked(job.input_parameters, hidden), ensure_ascii=False)


def _cell(value: Any) -> str:
    """Return a value as text.

    An apostrophe before a text that begins like a formula keeps a spreadsheet from running it.
    """
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    text = str(value)
    first = next((char for char in text if unicodedata.category(char)[0] not in "CMZ" and char not in _UNSEEN), "")
    is_formula = text[:1] in {"\t", "\r", "\n"} or unicodedata.normalize("NFKC", first)[:1] in _SIGNS
    return f"'{text}" if is_formula and not isinstance(value, int) else text
