"""The numbers of a job type: the largest that are taken work, and larger ones are refused."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.core.exceptions import ValidationError

from django_jobs import submit_job, submit_jobs
from django_jobs.models import Organization
from django_jobs.models.job_type import MAX_AT_ONCE, MAX_DAYS, MAX_RATE, MAX_SECONDS
from tests.support.brokers import MemoryBroker, end, raised, start
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type

LARGEST: Final = {
    "default_timeout": MAX_SECONDS,
    "max_retries": 100,
    "retry_delay": MAX_SECONDS,
    "deduplication_window": MAX_SECONDS,
    "rate_limit": MAX_RATE,
    "rate_limit_window": MAX_SECONDS,
    "max_running": MAX_AT_ONCE,
    "max_running_per_organization": MAX_AT_ONCE,
    "max_running_per_key": MAX_AT_ONCE,
    "max_starts": MAX_RATE,
    "max_starts_window": MAX_SECONDS,
    "breaker_failures": 10_000,
    "breaker_pause": MAX_SECONDS,
    "retention_days": MAX_DAYS,
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
