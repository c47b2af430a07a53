"""Weights and limits of organizations: asked of the policy now and then; an answer that is none holds up nobody."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest

from django_jobs import AccessPolicy
from django_jobs.engine.dispatch import tenant_shares
from django_jobs.exceptions import PolicyFailed
from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, pending_jobs
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import Share

asked: Final[list[str]] = []


class Weighing(AccessPolicy):
    """Answers with what the test says."""

    given_weight: Any = 1.0
    given_limit: Any = 100

    def weight(self, organization: Any) -> Any:
        asked.append(f"weight {organization.name}")
        return _given(self.given_weight)

    def in_flight_limit(self, organization: Any) -> Any:
        asked.append(f"limit {organization.name}")
        return _given(self.given_limit)


class WeightOnly(AccessPolicy):
    """Gives one organization more, and limits nobody."""

    def weight(self, organization: Any) -> float:
        asked.append(f"weight {organization.name}")
        return 3 if organization.name == "ORG-BIG" else super().weight(organization)


class StartOnly(AccessPolicy):
    """Says itself whose jobs may start."""

    def is_active(self, organization: Any) -> bool:
        asked.append(f"start {organization.name}")
        return super().is_active(organization)


class Unmade(AccessPolicy):
    """Cannot even be made."""

    def __init__(self) -> None:
        raise KeyError("no registry")


def _given(answer: Any) -> Any:
    if isinstance(answer, BaseException):
        raise answer
    return answer


def follow(settings: Any, policy: type) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.{policy.__name__}"}


def told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [item for item in caplog.records if "event=access_policy_failed" in item.getMessage()]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    verbs.forget_tenant_shares()
    asked.clear()
    yield
    verbs.forget_tenant_shares()


def test_whether_jobs_may_start_is_asked_anew_after_a_second(
    broker: MemoryBroker, organization: Organization, settings: Any, tuning: Tuning
) -> None:
    clock = Clock()
    tuning.set(shares_clock=clock)
    broker.is_down = True
    pending_jobs(make_job_type(), organization, 2)
    broker.is_down = False
    follow(settings, StartOnly)
    for seconds, times in ((0, 1), (0.9, 1), (0.2, 2)):
        clock.now += seconds
        Job.objects.update(status="Pending", ready_at=verbs.now(), is_delayed=False, queued_at=None)
        verbs.dispatch()
        assert asked.count(f"start {organization.name}") == times


def test_all_weigh_the_same_and_the_setting_limits_them(organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 7}
    assert verbs.share_of(organization) == Share(1.0, 7)
    assert AccessPolicy().weight(organization) == 1.0
    assert AccessPolicy().in_flight_limit(organization) == 7


def test_what_a_policy_does_not_override_is_not_asked(settings: Any) -> None:
    big, other = make_organization(name="ORG-BIG"), make_organization()
    follow(settings, WeightOnly)
    assert verbs.shares_of([big, other]) == {big.pk: Share(3.0, 100), other.pk: Share(1.0, 100)}
    assert asked == ["weight ORG-BIG", f"weight {other.name}"]
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 5}
    assert verbs.share_of(big) == Share(3.0, 5)


def test_answers_hold_for_some_seconds(
    organization: Organization, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(settings, Weighing)
    assert verbs.share_of(organization) == Share(1.0, 100)
    monkeypatch.setattr(Weighing, "given_weight", 2)
    assert verbs.share_of(organization) == Share(1.0, 100)
    assert len(asked) == 2
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + verbs.LIMIT_ANSWER_SECONDS)
    assert verbs.share_of(organization) == Share(2.0, 100)


def test_no_more_answers_are_remembered_than_allowed(settings: Any, tuning: Tuning) -> None:
    tuning.set(answer_cache_entries=4)
    follow(settings, Weighing)
    for _ in range(5):
        verbs.share_of(make_organization())
    assert len(tenant_shares._answers) <= 4


@pytest.mark.parametrize("answer", [2, 2.0, Decimal("2.0")])
def test_any_finite_number_is_a_weight(
    answer: Any, organization: Organization, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Weighing, "given_weight", answer)
    follow(settings, Weighing)
    assert verbs.share_of(organization).weight == 2.0


BAD_WEIGHTS: Final[list[tuple[Any, str, str]]] = [
    (-3, "out_of_range", "-3"),
    (0, "out_of_range", "0"),
    (math.nan, "out_of_range", "nan"),
    (math.inf, "out_of_range", "inf"),
    (Decimal("NaN"), "out_of_range", "NaN"),
    (True, "not_a_number", "bool"),
    (None, "not_a_number", "None"),
    ("2", "not_a_number", "str"),
    (2j, "not_a_number", "complex"),
    (10**400, "raised", "OverflowError"),
    (KeyError("plan"), "raised", "KeyError('plan')"),
    (SystemExit(3), "raised", "SystemExit(3)"),
]


@pytest.mark.parametrize(
    ("answer", "code", "named"), BAD_WEIGHTS, ids=[repr(answer)[:20] for answer, _, _ in BAD_WEIGHTS]
)
def test_what_is_no_weight_counts_as_1_and_the_log_says_so(
    answer: Any,
    code: str,
    named: str,
    organization: Organization,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Weighing, "given_weight", answer)
    follow(settings, Weighing)
    assert verbs.share_of(organization) == Share(1.0, 100)
    (record,) = told(caplog)
    head, _, said = record.getMessage().partition(": ")
    assert head.endswith(f"question=weight organization={organization.name} taken=1")
    assert (record.code, named in said, "0.01" in said) == (code, True, True)
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
    assert verbs.share_of(organization).weight == counts
    (record,) = told(caplog)
    head, _, said = record.getMessage().partition(": ")
    assert head.endswith(f"taken={counts:g}")
    assert (record.code, f"{answer:g}" in said) == ("out_of_range", True)


BAD_LIMITS: Final[list[tuple[Any, int, str, str]]] = [
    (0, 1, "out_of_range", "0"),
    (-5, 1, "out_of_range", "-5"),
    (10**30, 2**31 - 1, "out_of_range", "1e+30"),
    (10**400, 2**31 - 1, "out_of_range", ""),
    (2.5, 100, "not_whole", "float"),
    (True, 100, "not_whole", "bool"),
    (None, 100, "not_whole", "None"),
    (AttributeError("plan"), 100, "raised", "AttributeError('plan')"),
]


@pytest.mark.parametrize(
    ("answer", "counts", "code", "named"), BAD_LIMITS, ids=[repr(answer)[:40] for answer, *_ in BAD_LIMITS]
)
def test_what_is_no_limit_is_replaced_and_the_log_says_so(
    answer: Any,
    counts: int,
    code: str,
    named: str,
    organization: Organization,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Weighing, "given_limit", answer)
    follow(settings, Weighing)
    assert verbs.share_of(organization) == Share(1.0, counts)
    (record,) = told(caplog)
    head, _, said = record.getMessage().partition(": ")
    assert head.endswith(f"question=in_flight_limit organization={organization.name} taken={counts:g}")
    assert (record.code, named in said, "is_active()" in said) == (code, True, True)


def test_the_log_says_so_once_a_minute(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Weighing, "given_weight", -1)
    follow(settings, Weighing)
    verbs.shares_of([make_organization() for _ in range(3)])
    assert len(told(caplog)) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + verbs.COMPLAINT_PAUSE)
    verbs.share_of(make_organization())
    assert len(told(caplog)) == 2
    assert {item.levelno for item in caplog.records} == {logging.ERROR}


def test_a_policy_that_cannot_be_made_gives_all_the_usual_share(
    organization: Organization, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    follow(settings, Unmade)
    assert verbs.share_of(organization) == Share(1.0, 100)
    assert told(caplog)
