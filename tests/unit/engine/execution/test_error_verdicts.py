"""What a failure means, when the next try comes, and what tenants read of it."""

from __future__ import annotations

import email.message
import email.utils
import time
import urllib.error
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as rest
from rest_framework.exceptions import ErrorDetail

from django_jobs import exceptions
from django_jobs.engine import timing
from django_jobs.engine.execution.outcomes import readable
from django_jobs.engine.execution.settle import back_off
from tests.support import verbs

RETRYABLE = [408, 429, 500, 502, 503, 504]


class RequestsHTTPError(Exception):
    """Carries its answer as those of requests and httpx do."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} for url https://user:secret@example.com")
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


def urllib_error(status: int, headers: dict[str, str] | None = None) -> urllib.error.HTTPError:
    message = email.message.Message()
    for name, value in (headers or {}).items():
        message[name] = value
    return urllib.error.HTTPError("https://example.com", status, "no", message, None)


def test_what_may_pass_or_is_unknown_is_transient(subtests: pytest.Subtests) -> None:
    cases: list[Exception] = [
        exceptions.TransientError("later"),
        ConnectionError(),
        ConnectionResetError(),
        TimeoutError(),
        OperationalError("server closed the connection"),
        InterfaceError("connection already closed"),
        redis.ConnectionError(),
        redis.TimeoutError(),
        urllib.error.URLError("no route"),
        ZeroDivisionError(),
        KeyError("unknown"),
    ]
    for error in cases:
        with subtests.test(error=error):
            assert verbs.classify_error(error).kind == "Transient"


def test_what_will_not_pass_is_permanent(subtests: pytest.Subtests) -> None:
    cases: list[Exception] = [
        exceptions.PermanentError("never"),
        ValidationError("bad"),
        PermissionDenied(),
        ObjectDoesNotExist(),
        Http404(),
        rest.ValidationError("bad"),
        rest.PermissionDenied(),
        rest.NotFound(),
        rest.NotAuthenticated(),
        exceptions.InvalidSubmission({"priority": ["bad"]}),
        exceptions.PermissionDenied("no"),
        exceptions.JobNotFound("no"),
        exceptions.InvalidTransition("JOB-2026-00001", "Running", "retry"),
        exceptions.DuplicateJob(SimpleNamespace(name="JOB-2026-00001", status="Pending")),  # type: ignore[arg-type]
    ]
    for error in cases:
        with subtests.test(error=error):
            assert verbs.classify_error(error).kind == "Permanent"


def test_no_delay_of_a_refusal_lies_beyond_all_calendars(subtests: pytest.Subtests) -> None:
    error_cases: list[type[exceptions.RetryableRefusal]] = [exceptions.QueueFull, exceptions.RateLimited]
    asked_cases: list[tuple[float, float | None]] = [
        (-5, 0.0),
        (1e300, timing.LONGEST_BACK_OFF_SECONDS),
        (float("inf"), None),
    ]
    for error in error_cases:
        for asked, given in asked_cases:
            with subtests.test(error=error, asked=asked, given=given):
                assert verbs.classify_error(error("not now", asked)).retry_after == given


class Unspeakable(exceptions.PermanentError):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "error", [ValidationError("100% wrong", params={"a": 1}), Unspeakable("never")], ids=["params", "str"]
)
def test_an_error_without_a_readable_text_is_judged_all_the_same(error: Exception) -> None:
    assert (verbs.classify_error(error).kind, readable(error)) == ("Permanent", type(error).__name__)


def test_a_retryable_http_status_is_read_from_requests_and_httpx(subtests: pytest.Subtests) -> None:
    for status in RETRYABLE:
        with subtests.test(status=status):
            verdict = verbs.classify_error(RequestsHTTPError(status, {"Retry-After": "7"}))
            assert (verdict.kind, verdict.retry_after) == ("Transient", 7.0)


def test_a_retryable_http_status_is_read_from_urllib(subtests: pytest.Subtests) -> None:
    for status in RETRYABLE:
        with subtests.test(status=status):
            verdict = verbs.classify_error(urllib_error(status, {"Retry-After": "7"}))
            assert (verdict.kind, verdict.retry_after) == ("Transient", 7.0)


def test_another_http_status_is_an_unknown_error_whose_retry_after_means_nothing() -> None:
    verdict = verbs.classify_error(RequestsHTTPError(404, {"Retry-After": "7"}))
    assert (verdict.kind, verdict.retry_after) == ("Transient", None)


def test_without_retry_after_the_back_off_decides() -> None:
    assert verbs.classify_error(RequestsHTTPError(503)).retry_after is None


def test_retry_after_is_bounded_by_the_setting(settings: Any) -> None:
    settings.DJANGO_JOBS = {"MAX_RETRY_AFTER": 50}
    assert verbs.classify_error(RequestsHTTPError(429, {"Retry-After": "86400"})).retry_after == 50.0


def test_retry_after_may_be_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    date = email.utils.formatdate(1_800_000_120, usegmt=True)
    assert verbs.classify_error(RequestsHTTPError(503, {"Retry-After": date})).retry_after == 120.0


def test_a_date_far_ahead_is_bounded_too() -> None:
    date = email.utils.formatdate(time.time() + 10_000_000, usegmt=True)
    assert verbs.classify_error(RequestsHTTPError(503, {"Retry-After": date})).retry_after == 3600.0


@pytest.mark.parametrize("value", ["-5", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_retry_after_in_the_past_means_now(value: str) -> None:
    assert verbs.classify_error(RequestsHTTPError(503, {"Retry-After": value})).retry_after == 0.0


def test_a_retry_after_that_says_nothing_is_ignored(subtests: pytest.Subtests) -> None:
    for value in ("soon", "", "nan"):
        with subtests.test(value=value):
            assert verbs.classify_error(RequestsHTTPError(503, {"Retry-After": value})).retry_after is None


@pytest.mark.parametrize("kind", [exceptions.QueueFull, exceptions.RateLimited])
def test_a_refusal_that_will_pass_is_retried_after_its_delay(kind: type[exceptions.RetryableRefusal]) -> None:
    verdict = verbs.classify_error(kind("full", 12.5))
    assert (verdict.kind, verdict.retry_after) == ("Transient", 12.5)


def test_the_back_off_doubles(subtests: pytest.Subtests) -> None:
    cases: list[tuple[int, float]] = [(1, 60), (2, 120), (3, 240), (4, 480), (5, 960)]
    for retry, seconds in cases:
        with subtests.test(retry=retry, seconds=seconds):
            assert back_off(retry, 60, 0.0) == seconds


def test_the_back_off_is_spread_by_the_jitter(subtests: pytest.Subtests) -> None:
    cases: list[tuple[int, float]] = [(1, 60), (2, 120), (3, 240)]
    for retry, seconds in cases:
        with subtests.test(retry=retry, seconds=seconds):
            delays = [back_off(retry, 60, 0.2) for _ in range(200)]
            assert 0.8 * seconds <= min(delays) < seconds < max(delays) <= 1.2 * seconds


def test_the_back_off_is_bounded() -> None:
    assert back_off(101, 30 * 24 * 3600, 0.0) == timing.LONGEST_BACK_OFF_SECONDS


@pytest.mark.parametrize(("delay", "seconds"), [(0, 0.0), (1, timing.LONGEST_BACK_OFF_SECONDS)])
def test_no_retry_is_too_late_for_a_back_off(delay: float, seconds: float) -> None:
    assert back_off(2_000, delay, 0.0) == seconds


def test_tenants_read_what_was_meant_for_them(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Exception, str]] = [
        (exceptions.TransientError("the mail server is down"), "the mail server is down"),
        (exceptions.PermanentError("no such customer"), "no such customer"),
        (ValidationError(["too long", "too old"]), "too long; too old"),
        (exceptions.TransientError(), "TransientError"),
    ]
    for error, text in cases:
        with subtests.test(error=error, text=text):
            assert readable(error) == text


def test_tenants_read_rest_framework_validation_errors() -> None:
    assert "too long" in readable(rest.ValidationError({"name": [ErrorDetail("too long", "max_length")]}))


def test_of_any_other_error_tenants_read_the_class_only(subtests: pytest.Subtests) -> None:
    cases: list[Exception] = [
        ValueError("password=secret"),
        OperationalError("secret"),
        RequestsHTTPError(500),
        PermissionDenied("secret"),
    ]
    for error in cases:
        with subtests.test(error=error):
            assert readable(error) == type(error).__name__


def test_the_text_of_any_error_is_shown_when_the_host_says_so(settings: Any) -> None:
    settings.DJANGO_JOBS = {"SHOW_ERROR_TEXT": True}
    assert readable(ValueError("plain words")) == "plain words"


def test_of_a_secret_at_the_end_of_a_long_text_no_part_is_shown() -> None:
    error = exceptions.TransientError(f"{'x' * 3_990}hunter2000 and more")
    assert "hunter" not in readable(error, lambda text: text.replace("hunter2000", "*"))


def test_readable_text_fits_every_database() -> None:
    text = readable(exceptions.PermanentError("a\x00b\ud800" + "c" * 5000))
    assert "\x00" not in text
    assert len(text) == 4000
    text.encode()
