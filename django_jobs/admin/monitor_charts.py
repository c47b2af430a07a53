"""The monitor's charts over time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from django_jobs.admin.charts import Chart, Series
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.monitor_range import Range

Values = Sequence[float | None]
Steps = Mapping[dt.datetime, Mapping[str, int]]


def charts_of_counts(
    labels: Sequence[str], moments: Sequence[dt.datetime], steps: Steps, by: str | Promise, zone: str
) -> list[Chart]:
    """Return the chart of what came and what ended, and that of failures.

    ``by`` says how long a step is, and ``zone`` in which time zone the labels are.
    """

    def values(name: str) -> list[float | None]:
        return [float(steps.get(moment, {}).get(name, 0)) for moment in moments]

    return [
        Chart(
            key="djobs-ended",
            title=_("What came and what ended, %(steps)s") % {"steps": by},
            labels=labels,
            zone=zone,
            empty=_("Nothing came or ended in this time."),
            columns=[
                Series(name=_("completed"), color="good", values=values("completed")),
                Series(name=_("canceled"), color="neutral", values=values("canceled")),
            ],
            lines=[Series(name=_("submitted"), color="info", values=values("submitted"))],
        ),
        Chart(
            key="djobs-failed",
            title=_("Failures, %(steps)s") % {"steps": by},
            labels=labels,
            zone=zone,
            empty=_("Nothing failed in this time."),
            columns=[Series(name=_("failed attempts"), color="warn", values=values("failed"))],
            lines=[Series(name=_("dead letters"), color="bad", values=values("died"), is_dashed=True)],
        ),
    ]


def chart_of_times(chosen: Range, moments: Sequence[dt.datetime], waited: Values, ran: Values) -> Chart:
    """Return the chart of how long jobs waited and ran, in seconds."""
    return Chart(
        key="djobs-times",
        title=_("How long all but the slowest 5 %% took, %(steps)s") % {"steps": chosen.steps},
        labels=[chosen.label_of(moment) for moment in moments],
        zone=chosen.zone,
        empty=_("Nothing ran in this time."),
        lines=[
            Series(name=_("waited"), color="info", values=waited),
            Series(name=_("ran"), color="active", values=ran, is_dashed=True),
        ],
        write=brief_duration,
    )
