"""A test that sets a time in vain would pass for another reason than it says."""

from __future__ import annotations

import pytest

from django_jobs.engine import timing
from tests.support import tuning as module
from tests.support.tuning import KNOBS, SHORT_GRACE, Tuning, tuned


def test_what_was_set_is_put_back_however_often_it_was_set() -> None:
    with Tuning() as brief:
        brief.set(late_broker_seconds=1.0)
        brief.set(late_broker_seconds=2.0)
        assert timing.LATE_BROKER_SECONDS == 2.0
    assert timing.LATE_BROKER_SECONDS == 60.0


def test_what_holds_for_every_test_can_be_as_in_production(tuning: Tuning) -> None:
    tuning.let_be("late_broker_seconds")
    assert timing.LATE_BROKER_SECONDS == 0.2


def test_an_unknown_name_is_an_error_that_tells_similar_ones(tuning: Tuning) -> None:
    with pytest.raises(LookupError, match="hub_tick_seconds"):
        tuning.set(hub_ticks_seconds=1.0)
    with pytest.raises(LookupError, match="timeout_grace_seconds"):
        tuned(timeout_grace=1.0)
    tuned(**SHORT_GRACE)


def test_what_has_moved_is_an_error(tuning: Tuning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KNOBS, "of_yesterday", (module.__name__, "GONE"))
    with pytest.raises(AttributeError, match="GONE"):
        tuning.set(of_yesterday=1.0)
