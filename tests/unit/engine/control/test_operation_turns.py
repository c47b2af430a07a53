"""For how long an operation tries jobs again whose rows somebody holds."""

from __future__ import annotations

import datetime as dt

from django_jobs.engine.control.operation_work import still_held


def test_each_row_that_somebody_holds_has_a_time_of_its_own() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    over = {"1": 0.0}
    kept = still_held(over, [1, 2], now)
    assert list(kept) == ["2"]
    assert still_held(kept | over, [1, 2], now) == kept
