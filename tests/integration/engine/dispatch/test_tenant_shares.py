"""Weights and limits of organizations: asked of the policy now and then; an answer that is none holds up nobody."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest

from django_jobs.engine import access
from django_jobs.engine.dispatch import tenant_shares
from django_jobs.engine.dispatch.tenant_shares import Share, share_of, shares_of
from django_jobs.exceptions import PolicyFailed
from django_jobs.models import Organization
from tests.support.factories import make_organization
from tests.support.tuning import Tuning

asked: Final[list[str]] = []


class Weighing(access.AccessPolicy):
    """Answers with what the test says."""

    given_weight: Any = 1.0
    given_limit: Any = 100

    def weight(self, organization: Any) -> Any:
        asked.append(f"weight {organization.name}")
        return _given(self.given_weight)

    def in_flight_limit(self, organization: Any) -> Any:
        asked.append(f"limit {organization.name}")
        return _given(self.given_limit)


class WeightOnly(access.AccessPolicy):
    """Gives one organization more, and limits nobody."""

    def weight(self, organization: Any) -> float:
        asked.append(f"weight {organization.name}")
        return 3 if organization.name == "ORG-BIG" else super().weight(organization)


class Unmade(access.AccessPolicy):
    """Cannot even be made."""

    def __init__(self) -> None:
        raise KeyError("no registry")


def _given(answer: Any) -> Any:
    if isinstance(answer, BaseException):
        raise answer
    return answer


def follow(settings: Any, policy: type) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.{policy.__name__}"}


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [item.getMessage() for item in caplog.records if "event=access_policy_failed" in item.getMessage()]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(access, "_last_complaint", -math.inf)
    tenant_shares.forget()
    asked.clear()
    yield
    tenant_shares.forget()


def test_all_weigh_the_same_and_the_setting_limits_them(organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 7}
    assert share_of(organization) == Share(1.0, 7)
    assert access.AccessPolicy().weight(organization) == 1.0
    assert access.AccessPolicy().in_flight_limit(organization) == 7


def test_what_a_policy_does_not_override_is_not_asked(settings: Any) -> None:
    big, other = make_organization(name="ORG-BIG"), make_organization()
    follow(settings, WeightOnly)
    assert shares_of([big, other]) == {big.pk: Share(3.0, 100), other.pk: Share(1.0, 100)}
    assert asked == ["weight ORG-BIG", f"weight {other.name}"]
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 5}
    assert share_of(big) == Share(3.0, 5)


def test_answers_hold_for_some_seconds(
    organization: Organization, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(settings, Weighing)
    assert share_of(organization) == Share(1.0, 100)
    monkeypatch.setattr(Weighing, "given_weight", 2)
    assert share_of(organization) == Share(1.0, 100)
    assert len(asked) == 2
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + tenant_shares.ANSWER_SECONDS)
    assert share_of(organization) == Share(2.0, 100)


def test_no_more_answers_are_remembered_than_allowed(settings: Any, tuning: Tuning) -> None:
    tuning.set(answer_cache_entries=4)
    follow(settings, Weighing)
    for _ in range(5):
        share_of(make_organization())
    assert len(tenant_shares._answers) <= 4


@pytest.mark.parametrize("answer", [2, 2.0, Decimal("2.0")])
def test_any_finite_number_is_a_weight(
    answer: Any, organization: Organization, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Weighing, "given_weight", answer)
    follow(settings, Weighing)
    assert share_of(organization).weight == 2.0


BAD_WEIGHTS: Final[list[tuple[Any, str]]] = [
    (-3, "weight() returned -3; it must return a number above 0"),
    (0, "weight() returned 0; it must return a number above 0"),
    (math.nan, "weight() returned nan; it must return a number above 0"),
    (math.inf, "weight() returned inf; it must return a number above 0"),
    (Decimal("NaN"), "weight() returned NaN; it must return a number above 0"),
    (True, "weight() returned bool; it must return a number above 0"),
    (None, "weight() returned None; it must return a number above 0"),
    ("2", "weight() returned str; it must return a number above 0"),
    (2j, "weight() returned complex; it must return a number above 0"),
    (10**400, "it raised OverflowError"),
    (KeyError("plan"), "it raised KeyError('plan')"),
    (SystemExit(3), "it raised SystemExit(3)"),
]


@pytest.mark.parametrize(("answer", "problem"), BAD_WEIGHTS, ids=[repr(answer)[:20] for answer, _ in BAD_WEIGHTS])
def test_what_is_no_weight_counts_as_1_and_the_log_says_so(
    answer: Any,
    problem: str,
    organization: Organization,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Weighing, "given_weight", answer)
    follow(settings, Weighing)
    assert share_of(organization) == Share(1.0, 100)
    (line,) = told(caplog)
    assert f"weight of {organization.name}: {problem}" in line
    assert "It counts as 1. Answer with a number from 0.01 to 100." in line
    with pytest.raises(PolicyFailed):
        Weighing().weight(organization)


@pytest.mark.parametrize(("answer", "counts"), [(1e9, 100.0), (1e-9, 0.01)])
def test_weights_beyond_bounds_count_as_the_bounds(
    answer: float,
    counts: float,
    organization: Organization,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Weighing, "given_weight", answer)
    follow(settings, Weighing)
    assert share_of(organization).weight == counts
    assert f"it answered {answer:g}. It counts as {counts:g}." in told(caplog)[0]


BAD_LIMITS: Final[list[tuple[Any, int, str]]] = [
    (0, 1, "it answered 0"),
    (-5, 1, "it answered -5"),
    (10**30, 2**31 - 1, "it answered 1e+30"),
    (10**400, 2**31 - 1, "it answered a number that no float can hold"),
    (2.5, 100, "in_flight_limit() returned float; it must return a whole number, 1 or more"),
    (True, 100, "in_flight_limit() returned bool; it must return a whole number, 1 or more"),
    (None, 100, "in_flight_limit() returned None; it must return a whole number, 1 or more"),
    (AttributeError("plan"), 100, "it raised AttributeError('plan')"),
]


@pytest.mark.parametrize(("answer", "counts", "problem"), BAD_LIMITS, ids=[problem for _, _, problem in BAD_LIMITS])
def test_what_is_no_limit_is_replaced_and_the_log_says_so(
    answer: Any,
    counts: int,
    problem: str,
    organization: Organization,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Weighing, "given_limit", answer)
    follow(settings, Weighing)
    assert share_of(organization) == Share(1.0, counts)
    (line,) = told(caplog)
    assert f"in_flight_limit of {organization.name}: {problem}" in line
    assert "let is_active() say False" in line


def test_the_log_says_so_once_a_minute(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Weighing, "given_weight", -1)
    follow(settings, Weighing)
    shares_of([make_organization() for _ in range(3)])
    assert len(told(caplog)) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + access.COMPLAINT_PAUSE)
    share_of(make_organization())
    assert len(told(caplog)) == 2
    assert {item.levelno for item in caplog.records} == {logging.ERROR}


def test_a_policy_that_cannot_be_made_gives_all_the_usual_share(
    organization: Organization, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    follow(settings, Unmade)
    assert share_of(organization) == Share(1.0, 100)
    assert told(caplog)
