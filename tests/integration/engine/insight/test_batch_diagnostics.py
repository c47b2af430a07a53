"""Batches that expired or lack their follow-up are found: by the check and by the monitor."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import Client

from django_jobs.models import Batch, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import admin, verbs
from tests.support.admin import codes_on, text, url
from tests.support.batches import expire, make_batch
from tests.support.factories import make_job_type
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


def expired(organization: Organization) -> Batch:
    batch = make_batch(organization, "Completed", close=False, name="May")
    run_jobs()
    expire(batch)
    return batch


def with_fault(organization: Organization) -> Batch:
    kind = make_job_type()
    batch = make_batch(organization, "Completed", then={"job_type": kind.pk})
    JobType.objects.filter(pk=kind.pk).update(is_enabled=False)
    run_jobs()
    return batch


def test_sound_batches_are_no_finding(organization: Organization) -> None:
    make_batch(organization, "Dead Letter")
    run_jobs()
    assert verbs.examine_batches(verbs.now()).level == "OK"


def test_expired_ones_and_those_with_a_fault_are_told_for_a_day(organization: Organization) -> None:
    late, faulty = expired(organization), with_fault(organization)
    finding = verbs.examine_batches(verbs.now())
    assert (finding.level, finding.code) == ("WARNING", "troubled")
    assert finding.facts
    told = finding.facts["batches"].split("; ")
    assert {text.split(":")[0] for text in told} == {
        f"{batch.batch_id} of {organization.name}" for batch in (late, faulty)
    }
    assert any(faulty.batch_id in text and repr((faulty.then or {})["job_type"]) in text for text in told)
    assert verbs.troubled_batches(verbs.now() + dt.timedelta(days=2)) == ([], False)


def test_a_few_are_named_and_only_the_newest_looked_at(organization: Organization, tuning: Tuning) -> None:
    batches = [with_fault(organization) for _ in range(3)]
    tuning.set(diagnosis_named_batches=2)
    assert verbs.troubled_batches(verbs.now()) == ([batches[2], batches[1]], True)
    assert verbs.examine_batches(verbs.now()).facts["more"]
    tuning.set(diagnosed_batches=1)
    assert verbs.troubled_batches(verbs.now()) == ([batches[2]], False)


def test_the_monitor_tells_each_of_their_own_with_a_link(
    root: Client, mine: Organization, theirs: Organization
) -> None:
    batch, foreign = expired(mine), with_fault(theirs)
    page = text(root, "/admin/django_jobs/monitor/")
    assert {"expired", "follow_up_waits"} <= set(codes_on(page))
    assert f"May ({batch.batch_id})" in page
    assert f'<a href="{url("batch", "change", foreign.pk)}">' in page
    own = text(admin.staff_of(mine), "/admin/django_jobs/monitor/")
    assert batch.batch_id in own
    assert foreign.batch_id not in own
