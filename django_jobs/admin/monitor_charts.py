"""The monitor's charts over time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from django_jobs.admin.charts import Chart, Series
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.monitor_range import Range

Values = Sequence[float | None]


def chart_of_ends(
    chosen: Range, moments: Sequence[dt.datetime], steps: Mapping[dt.datetime, Mapping[str, int]]
) -> Chart:
    """Return the chart of how many jobs came and how attempts ended."""

    def values(name: str) -> list[float | None]:
        return [float(steps.get(moment, {}).get(name, 0)) for moment in moments]

    return Chart(
        key="djobs-ended",
        title=f"What came and what ended, by {chosen.unit}",
        labels=[chosen.label_of(moment) for moment in moments],
        columns=[
            Series(name="completed", color="good", values=values("completed")),
            Series(name="failed attempts", color="warn", values=values("failed")),
            Series(name="dead letters", color="bad", values=values("died")),
            Series(name="canceled", color="neutral", values=values("canceled")),
        ],
        lines=[Series(name="submitted", color="info", values=values("submitted"))],
    )


def chart_of_times(chosen: Range, moments: Sequence[dt.datetime], waited: Values, ran: Values) -> Chart:
    """Return the chart of how long jobs waited and ran, in seconds."""
    return Chart(
        key="djobs-times",
        title=f"How long all but the slowest 5 % took, by {chosen.unit}",
        labels=[chosen.label_of(moment) for moment in moments],
        lines=[
            Series(name="waited", color="info", values=waited),
            Series(name="ran", color="active", values=ran),
        ],
        write=brief_duration,
    )
