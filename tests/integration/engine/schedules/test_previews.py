"""Rules that are looked at before they are stored."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs.exceptions import InvalidSchedule
from tests.support import verbs


def test_a_rule_can_be_looked_at_before_it_is_stored(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    rule, next_runs = verbs.preview_schedule({"cron": "0 2 * * *", "job_type": "not looked at"}, 3)
    assert ("02:00" in rule.words(), rule.timezone) == (True, "Asia/Tokyo")
    assert [(moment.hour, moment.utcoffset()) for moment in next_runs] == [(2, dt.timedelta(hours=9))] * 3
    start = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    end = start + dt.timedelta(seconds=90)
    _, next_runs = verbs.preview_schedule({"every": 60, "starts_at": start, "ends_at": end})
    assert next_runs == [start, start + dt.timedelta(minutes=1)]
    with pytest.raises(InvalidSchedule) as caught:
        verbs.preview_schedule({"cron": "0 0 30 2 *", "timezone": "Mars"})
    assert list(caught.value.errors) == ["cron", "timezone"]
