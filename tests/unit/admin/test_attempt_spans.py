"""The attempts of a job on one axis of time."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.admin.job_history import SpanKind as Kind
from django_jobs.admin.job_history import Waterfall, draw_strip, lay_out, tick_labels
from django_jobs.models import ExecutionLog

START = dt.datetime(2026, 10, 1, 12, tzinfo=dt.UTC)


def laid_out(text: str, now: float, total: int, most: int = 20) -> Waterfall:
    """The attempts of a job whose statuses are written as ``Pending@0 Queued@2 Running@3``; each run is one more."""
    changes, status, attempt = [], "", 0
    for item in text.split():
        name, _, seconds = item.partition("@")
        to_status = name.replace("_", " ")
        attempt += to_status == "Running"
        moment = START + dt.timedelta(seconds=float(seconds))
        changes.append(ExecutionLog(from_status=status, to_status=to_status, timestamp=moment, attempt=attempt))
        status = to_status
    return lay_out(changes, START + dt.timedelta(seconds=now), total, most)


RETRIED = "Pending@0 Queued@2 Running@3 Failed@8 Queued@68 Running@70 Completed@75"


def test_each_attempt_has_its_wait_its_run_and_the_back_off_after_it() -> None:
    waterfall = laid_out(RETRIED, 100, 2)
    first, second = waterfall.attempts
    assert [first.seconds(kind) for kind in Kind] == [3, 5, 60]
    assert [second.seconds(kind) for kind in Kind] == [2, 5, None]
    assert (waterfall.length, waterfall.hidden, waterfall.breaks) == (75, 0, [])
    assert [(span.start, span.end) for span in second.spans] == [(68, 70), (70, 75)]


def test_a_running_attempt_grows_until_now() -> None:
    waterfall = laid_out("Pending@0 Queued@1 Running@2", 12, 1)
    (attempt,) = waterfall.attempts
    assert attempt.seconds(Kind.RAN) == 10
    assert [span.is_open for span in attempt.spans] == [False, False, True]
    assert waterfall.length == 12
    assert draw_strip(attempt, waterfall).count(" djobs-span-open") == 1


def test_what_waits_for_its_next_attempt_has_a_row_without_a_number() -> None:
    *_, waiting = laid_out("Pending@0 Queued@1 Running@2 Failed@4 Queued@9", 14, 1).attempts
    assert (waiting.number, waiting.seconds(Kind.WAITED), waiting.seconds(Kind.RAN)) == (None, 5, None)


def test_a_back_off_that_goes_on_is_the_last_attempts() -> None:
    (attempt,) = laid_out("Pending@0 Queued@1 Running@2 Failed@4", 14, 1).attempts
    assert attempt.seconds(Kind.BACKED_OFF) == 10


def test_a_job_that_asked_for_a_later_run_backs_off_and_one_that_was_requeued_waits() -> None:
    asked, _ = laid_out("Pending@0 Running@1 Pending@2 Queued@9 Running@9 Completed@10", 20, 2).attempts
    assert (asked.seconds(Kind.BACKED_OFF), asked.seconds(Kind.RAN)) == (7, 1)
    first, second = laid_out("Pending@0 Running@1 Queued@2 Running@9 Completed@10", 20, 2).attempts
    assert (first.seconds(Kind.BACKED_OFF), second.seconds(Kind.WAITED)) == (None, 7)


def test_time_in_which_the_job_had_ended_is_cut_out() -> None:
    waterfall = laid_out("Pending@0 Running@1 Dead_Letter@2 Pending@90002 Running@90003 Completed@90004", 99999, 2)
    assert (waterfall.length, waterfall.breaks) == (4, [2])
    assert [item.seconds(Kind.WAITED) for item in waterfall.attempts] == [1, 1]
    assert [draw_strip(item, waterfall).count("djobs-span-break") for item in waterfall.attempts] == [1, 1]
    newest = laid_out("Pending@0 Running@1 Dead_Letter@2 Pending@90002 Running@90003", 90004, 2, most=1)
    assert (newest.length, newest.breaks) == (2, [])


def test_of_many_attempts_the_newest_are_shown_on_an_axis_that_begins_with_them() -> None:
    waterfall = laid_out(RETRIED, 100, 2, most=1)
    assert [item.number for item in waterfall.attempts] == [2]
    assert (waterfall.hidden, waterfall.length) == (1, 7)
    assert '<rect class="djobs-span-waited" x="0.0"' in draw_strip(waterfall.attempts[0], waterfall)


@pytest.mark.parametrize("text", ["", "Pending@0 Canceled@0", "Pending@5 Queued@3 Running@1 Completed@0"])
def test_a_log_that_tells_no_time_is_drawn_too(text: str) -> None:
    waterfall = laid_out(text, 0, 1)
    assert all("<svg" in draw_strip(item, waterfall) for item in waterfall.attempts)
    assert waterfall.length == 0
    assert tick_labels(waterfall) == []


def test_the_bars_lie_on_the_axis_and_a_short_one_is_still_seen() -> None:
    waterfall = laid_out("Pending@0 Running@1000 Completed@1000.001", 2000, 1)
    strip = draw_strip(waterfall.attempts[0], waterfall)
    assert '<rect class="djobs-span-waited" x="0.0"' in strip
    assert '<rect class="djobs-span-ran" x="995.0" y="1" width="5.0"' in strip
    assert tick_labels(waterfall)[0] == "0"
    assert tick_labels(waterfall)[-1] == "16 min"
