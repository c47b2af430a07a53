"""What a store reads for a claim, beside what the models say of the same rows."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest

from django_jobs.models import Job, JobType, Organization
from tests.support.brokers import pending_job, queue_up
from tests.support.factories import make_job_type
from tests.support.verbs import ClaimRow, Store

pytestmark = pytest.mark.usefixtures("broker")


def test_a_row_says_what_the_job_and_its_type_say(each_store: Store, organization: Organization) -> None:
    kind = make_job_type(is_paused=True)
    job = queue_up(pending_job(kind, organization, parameters={"text": "ünïcödé"}, metadata={"a": [None]}, timeout=7))
    (row,) = each_store.claim_rows([job.pk])
    of_job = set(ClaimRow._fields) & {"pk", *(field.attname for field in Job._meta.concrete_fields)}
    of_type = set(ClaimRow._fields) & {field.attname for field in JobType._meta.concrete_fields}
    assert {name: getattr(row, name) for name in of_job} == {name: getattr(job, name) for name in of_job}
    assert {name: getattr(row, name) for name in of_type} == {name: getattr(kind, name) for name in of_type}
    made = {"organization", "seconds_left", "starts_before", "is_limited", "starts_count"}
    assert set(ClaimRow._fields) - of_job - of_type == made
    assert (row.organization, row.seconds_left, row.starts_before) == (organization.name, None, None)


def test_a_row_says_whether_its_type_has_limits(each_store: Store) -> None:
    limits: list[dict[str, Any]] = [{}, {"concurrency_key": "a"}, {"max_running": 1}, {"max_starts": 1}]
    told = []
    for fields in limits:
        (row,) = each_store.claim_rows([pending_job(make_job_type(**fields)).pk])
        told.append((bool(row.is_limited), bool(row.starts_count)))
    assert told == [(False, False), (True, False), (True, True), (True, True)]


def test_the_time_that_is_left_is_told_and_past_ones_too(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    soon, gone = pending_job(kind, organization), pending_job(kind, organization)
    for job, seconds in ((soon, 60), (gone, -60)):
        Job.objects.filter(pk=job.pk).update(expires_at=each_store.now() + dt.timedelta(seconds=seconds))
    rows = {row.pk: row for row in each_store.claim_rows([soon.pk, gone.pk])}
    assert rows[soon.pk].seconds_left == pytest.approx(60, abs=10)
    assert rows[soon.pk].starts_before == pytest.approx(time.monotonic() + 60, abs=10)
    assert rows[gone.pk].seconds_left == pytest.approx(-60, abs=10)


def test_jobs_that_are_gone_are_missing(each_store: Store) -> None:
    job = pending_job()
    assert [row.pk for row in each_store.claim_rows([job.pk, job.pk + 1])] == [job.pk]
    assert each_store.claim_rows([]) == []
