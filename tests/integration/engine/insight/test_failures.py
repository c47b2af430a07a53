"""Failed jobs in groups of like errors: what a group counts, how far is looked, and for whom."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User

from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import job_in
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.failures import die
from tests.support.tuning import Tuning
from tests.support.verbs import FailureGroup

pytestmark = pytest.mark.usefixtures("broker")

FAILED = ("Dead Letter", "Failed", "Timed Out")


def groups(user: User | None = None, **fields: object) -> list[FailureGroup]:
    return list(verbs.read_failures(user, verbs.now(), verbs.JobFilter(**fields)).groups)  # type: ignore[arg-type]


def counts(found: list[FailureGroup]) -> list[tuple[str, int]]:
    return [(group.job_type, group.count) for group in found]


def test_what_failed_and_dead_letters_of_one_error_are_one_group(kind: JobType, organization: Organization) -> None:
    for status in ("Dead Letter", "Failed", "Failed"):
        job_in(status, job_type=kind, organization=organization)
    (group,) = groups()
    assert (dict(group.statuses), group.waiting) == ({"Dead Letter": 1, "Failed": 2}, 2)


def test_what_did_not_fail_is_in_no_group() -> None:
    for status in ("Pending", "Queued", "Running", "Completed", "Canceled"):
        job_in(status)
    assert groups() == []


def test_the_largest_group_comes_first_and_of_equal_ones_the_newest(organization: Organization) -> None:
    old, large, new = (make_job_type(type_name=name) for name in ("old", "large", "new"))
    for kind in (old, large, large, new):
        die(kind, organization)
    assert counts(groups()) == [("large", 2), ("new", 1), ("old", 1)]


def test_a_group_counts_its_organizations(kind: JobType) -> None:
    one, two = make_organization(), make_organization()
    for organization in (one, two, two):
        die(kind, organization)
    assert groups()[0].organizations == {one.pk: 1, two.pk: 2}


def test_a_group_counts_the_hours_of_the_last_day(kind: JobType, organization: Organization) -> None:
    for hours in (0, 2, 2, 30):
        job = die(kind, organization)
        Job.objects.filter(pk=job.pk).update(completed_at=verbs.now() - dt.timedelta(hours=hours, minutes=1))
    assert groups()[0].hours == [*[0] * 21, 2, 0, 1]


def test_a_group_tells_when_the_first_of_it_is_tried_again(kind: JobType, organization: Organization) -> None:
    first, second = (job_in("Failed", job_type=kind, organization=organization) for _ in range(2))
    soon = verbs.now()
    Job.objects.filter(pk=second.pk).update(next_retry_at=soon)
    assert groups()[0].next_retry_at == soon
    assert first.next_retry_at


def test_they_are_narrowed_to_a_type_an_organization_and_a_status() -> None:
    one, other = (job_in(status) for status in ("Failed", "Dead Letter"))
    assert counts(groups(job_type=(one.job_type_id,))) == [(one.job_type_id, 1)]
    assert counts(groups(organization=(other.organization_id,))) == [(other.job_type_id, 1)]
    assert counts(groups(status=(Status.DEAD_LETTER,))) == [(other.job_type_id, 1)]
    assert counts(groups(job_type=(one.job_type_id,), error_fingerprint="other")) == []


def test_only_the_newest_of_all_statuses_are_read(tuning: Tuning) -> None:
    tuning.set(failed_jobs_read=4)
    for status in (*FAILED, *FAILED):
        job_in(status)
    found = verbs.read_failures(None, verbs.now(), verbs.JobFilter())
    newest = Job.objects.order_by("-pk").values_list("pk", flat=True)[:4]
    assert {group.newest_pk for group in found.groups} == set(newest)
    assert (found.count, found.is_cut) == (4, True)


def test_as_many_as_are_read_are_all_there_are(tuning: Tuning) -> None:
    tuning.set(failed_jobs_read=3)
    for status in FAILED:
        job_in(status)
    assert not verbs.read_failures(None, verbs.now(), verbs.JobFilter()).is_cut


def test_a_user_sees_those_of_own_organizations_alone(kind: JobType) -> None:
    mine = make_organization()
    die(kind, mine)
    die(kind, make_organization())
    member = make_user("mia", member_of=[mine])
    assert counts(groups(member)) == [(kind.pk, 1)]


def test_of_a_long_error_only_the_start_is_read(kind: JobType, organization: Organization) -> None:
    job = die(kind, organization)
    Job.objects.filter(pk=job.pk).update(error_message="x" * 1_000_000)
    (newest,) = verbs.newest_failed_jobs(groups()).values()
    assert newest.error_start == "x" * verbs.FAILURE_TEXT  # type: ignore[attr-defined]
    assert "error_message" in newest.get_deferred_fields()
