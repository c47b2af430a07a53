"""Submitting jobs into a batch: what it tells itself, the same work that is there already, and what is to follow."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from django_jobs import create_batch, submit_job
from django_jobs.exceptions import InvalidSubmission, JobTypeDisabled
from django_jobs.models import Job, JobType, Organization
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


@pytest.mark.parametrize("name", ["organization", "batch"])
def test_what_the_batch_tells_is_refused_in_its_submissions(
    organization: Organization, kind: JobType, name: str
) -> None:
    batch = create_batch(organization)
    good: dict[str, Any] = {"job_type": kind.pk}
    told: dict[str, Any] = {name: "ORG-2026-00099"}
    with pytest.raises(InvalidSubmission) as refusal:
        batch.submit_many([good, {**good, **told}])
    assert list(refusal.value.errors) == [f"1.{name}"]
    with pytest.raises(TypeError, match=name):
        batch.submit(kind, **told)
    assert not Job.objects.exists()


@pytest.mark.parametrize("on_duplicate", ["return", "replace"])
def test_the_same_work_is_given_back_though_the_batch_is_closed(organization: Organization, on_duplicate: str) -> None:
    kind = make_job_type(deduplication_window=300)
    batch = create_batch(organization)
    first = batch.submit(kind)
    batch.close()
    assert batch.submit(kind, on_duplicate=on_duplicate) == first
    with pytest.raises(InvalidSubmission, match="closed"):
        batch.submit(kind, {"other": True})
    assert Job.objects.get() == first


def test_what_is_to_follow_is_judged_by_its_type_as_it_is_now(organization: Organization) -> None:
    kind = make_job_type()
    submit_job(kind, organization)  # a process may remember type and organization of its submissions
    for is_enabled in (False, True):
        JobType.objects.filter(pk=kind.pk).update(is_enabled=is_enabled)
        with nullcontext() if is_enabled else pytest.raises(JobTypeDisabled):
            create_batch(organization, then={"job_type": kind.pk})
