"""The numbers of a job type: the largest that are taken work, and larger ones are refused."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.core.exceptions import ValidationError

from django_jobs import submit_job, submit_jobs
from django_jobs.models import Organization
from tests.support.brokers import MemoryBroker, end, raised, start
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type
from tests.support.verbs import TYPE_MAX_AT_ONCE, TYPE_MAX_DAYS, TYPE_MAX_RATE, TYPE_MAX_SECONDS

LARGEST: Final = {
    "default_timeout": TYPE_MAX_SECONDS,
    "max_retries": 100,
    "retry_delay": TYPE_MAX_SECONDS,
    "deduplication_window": TYPE_MAX_SECONDS,
    "rate_limit": TYPE_MAX_RATE,
    "rate_limit_window": TYPE_MAX_SECONDS,
    "max_running": TYPE_MAX_AT_ONCE,
    "max_running_per_organization": TYPE_MAX_AT_ONCE,
    "max_running_per_key": TYPE_MAX_AT_ONCE,
    "max_starts": TYPE_MAX_RATE,
    "max_starts_window": TYPE_MAX_SECONDS,
    "breaker_failures": 10_000,
    "breaker_pause": TYPE_MAX_SECONDS,
    "retention_days": TYPE_MAX_DAYS,
}


def test_the_largest_number_that_is_taken_works(
    subtests: pytest.Subtests, broker: MemoryBroker, organization: Organization
) -> None:
    for name, largest in LARGEST.items():
        with rolled_back(subtests, name=name, largest=largest):
            fields: dict[str, Any] = {name: largest}
            kind = make_job_type(**fields)
            job = submit_job(kind, organization, {"n": 1})
            submit_jobs([{"job_type": kind, "organization": organization, "parameters": {"n": 2}}])
            assert end(raised(start(job))).next_retry_at is not None


def test_a_larger_number_is_refused(subtests: pytest.Subtests) -> None:
    beyonds: list[int] = [1, 2**63 - 1]
    for beyond in beyonds:
        for name, largest in LARGEST.items():
            with subtests.test(beyond=beyond, name=name, largest=largest):
                fields: dict[str, Any] = {name: max(beyond, largest + 1)}
                with pytest.raises(ValidationError) as refused:
                    make_job_type(**fields)
                assert list(refused.value.message_dict) == [name]
