"""A failure's fingerprint is stored wherever its message is, and goes with it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from django_jobs import retry_job
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import (
    WORKER,
    end,
    job_in,
    pending_job,
    queue_up,
    raised,
    reread,
    returned,
    running_job,
    start,
)
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import OrphanWatch, outcomes

pytestmark = pytest.mark.usefixtures("broker")

TRACEBACK = (
    'Traceback (most recent call last):\n  File "jobs.py", line 7, in send\n    raise E\nshop.Busy: line 12 is busy'
)


def failed(**fields: Any) -> Job:
    _, claimed = running_job()
    return end(raised(claimed, **fields))


@pytest.mark.parametrize("kind", ["Transient", "Permanent"])
def test_an_error_has_the_fingerprint_of_its_exception(kind: str) -> None:
    first = failed(kind=kind, text="Busy", traceback=TRACEBACK)
    second = failed(kind=kind, text="Busy", traceback=TRACEBACK.replace("12", "99"))
    assert first.error_fingerprint == second.error_fingerprint == verbs.error_fingerprint("shop.Busy: line 12 is busy")


def test_without_a_traceback_it_has_that_of_its_message() -> None:
    assert failed(text="it failed").error_fingerprint == verbs.error_fingerprint("it failed")


def test_like_exceptions_from_two_places_are_two_kinds() -> None:
    prints = {failed(text="KeyError", place=f"shop.jobs.{name}").error_fingerprint for name in ("bill", "refund")}
    assert {verbs.error_kind(item) for item in prints} == {verbs.error_fingerprint("KeyError")}
    assert len(prints) == 2


def test_timeouts_are_alike_wherever_they_struck() -> None:
    job, claimed = running_job()
    end(outcomes.TimedOut(claimed=claimed, traceback=TRACEBACK))
    other, _ = running_job()
    verbs.settle_timed_out([(other.pk, other.attempt)], WORKER)
    assert reread(job).error_fingerprint == reread(other).error_fingerprint
    assert reread(job).error_fingerprint not in {"", verbs.error_fingerprint("shop.Busy: line 12 is busy")}


def test_a_job_that_is_turned_away_has_one() -> None:
    job = pending_job()
    queue_up(job)
    JobType.objects.filter(pk=job.job_type_id).update(handler_method="os.remove")
    with contextlib.suppress(ValueError):  # nothing starts
        start(job)
    assert reread(job).error_fingerprint == verbs.error_fingerprint(reread(job).error_message) != ""


def test_children_of_a_dead_parent_are_alike() -> None:
    kind, organization = make_job_type(), make_organization()
    prints = set()
    for _ in range(2):
        parent, claimed = running_job(job_type=kind, organization=organization)
        child = pending_job(kind, organization, depends_on=parent)
        end(raised(claimed, "Permanent"))
        verbs.follow_up()
        prints.add(reread(child).error_fingerprint)
    assert (len(prints), "" in prints) == (1, False)


def test_jobs_of_a_deleted_organization_are_alike() -> None:
    jobs = [pending_job(), pending_job()]
    Organization.objects.filter(pk__in=[job.organization_id for job in jobs]).delete()
    OrphanWatch().bury()
    prints = {reread(job).error_fingerprint for job in jobs}
    assert (len(prints), "" in prints) == (1, False)


def test_it_goes_when_the_job_completes() -> None:
    job = failed(text="it failed")
    assert end(returned(start(job))).error_fingerprint == ""


def test_it_goes_with_a_new_life() -> None:
    assert retry_job(job_in("Dead Letter")).error_fingerprint == ""
