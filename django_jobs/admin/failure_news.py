"""What an open page of failures has read out when there are others."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.failure_rows import FailureRow
from django_jobs.admin.news import News, sentence
from django_jobs.admin.numbers import format_number
from django_jobs.engine.insight.failures import Failures


def news_of_list(found: Failures, rows: Sequence[FailureRow]) -> News:
    """Return how many jobs failed, in how many groups, and the type and the error of the newest.

    ``rows`` are those of the page; an error that is on another page is not told.
    """
    if not found.keys:
        return News(text=_("No job failed."), state="")
    count, groups = CappedCount(count=found.count, is_cut=found.is_cut), len(found.keys)
    values = {"groups": format_number(groups), "jobs": count, "newest": found.rows[0][1]}
    # Translators: such as "Failures: 863 in 12 groups. The newest: send_mail".
    text = ngettext(
        "Failures: %(jobs)s in %(groups)s group. The newest: %(newest)s",
        "Failures: %(jobs)s in %(groups)s groups. The newest: %(newest)s",
        groups,
    )
    error = next((row.spoken for row in rows if row.newest.pk == found.rows[0][0]), "")
    return News(text=sentence(text % values, error), state=_digest(found))


def _digest(found: Failures) -> str:
    """Return what tells which groups there are, in whatever order."""
    return f"{zlib.crc32(repr(sorted(found.keys)).encode()):08x}"


def news_of_group(row: FailureRow) -> News:
    """Return how many jobs of the group failed, with its type and error, and whether the type is paused."""
    count = ngettext("%(type)s: %(count)s job failed", "%(type)s: %(count)s jobs failed", row.count.count)
    paused = _("The type is paused.") if row.is_paused else ""
    text = sentence(count % {"type": row.job_type, "count": row.count}, row.spoken, paused)
    return News(text=text, state=f"{row.is_paused} {row.is_gone}")
