"""Canceling and retrying a page of jobs by their ids: by the rules of the verbs for one job."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import cancel_job, retry_job
from django_jobs.exceptions import InvalidTransition
from django_jobs.models import ExecutionLog, Job, JobDependency
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import job_in, pending_job, reread
from tests.support.factories import make_organization, make_user

pytestmark = pytest.mark.usefixtures("broker")


def test_outcomes_come_in_the_order_of_the_ids() -> None:
    first, second = pending_job(), job_in(Status.COMPLETED)
    refused, *others = verbs.act("cancel", [second.name, "nonsense", first.name])
    assert (refused.name, refused.result, refused.status) == (second.name, "refused", "Completed")
    assert refused.error is not None
    assert refused.error.code == "invalid_transition"
    assert [(item.name, item.result, item.status) for item in others] == [
        ("nonsense", "unknown", ""),
        (first.name, "canceled", "Canceled"),
    ]


@pytest.mark.parametrize("status", list(Status))
def test_a_page_does_what_the_verbs_for_one_job_do(status: Status) -> None:
    for name, one in (("cancel", cancel_job), ("retry", retry_job)):
        mine, theirs = job_in(status), job_in(status)
        (outcome,) = verbs.act(name, [mine.name])
        assert (outcome.result == "refused") == is_refused(one, theirs)
        assert reread(mine).status == reread(theirs).status == outcome.status
        assert history(mine) == history(theirs)


def is_refused(verb: Any, job: Job) -> bool:
    try:
        verb(job.name)
    except InvalidTransition:
        return True
    return False


def history(job: Job) -> list[tuple[str, str, str]]:
    rows = ExecutionLog.objects.filter(job=job).order_by("pk")
    return list(rows.values_list("to_status", "message", "actor"))


def test_a_retry_that_waits_in_vain_is_refused_beside_one_that_does_not() -> None:
    parent, child = job_in(Status.DEAD_LETTER), job_in(Status.DEAD_LETTER)
    JobDependency.objects.create(parent=parent, child=child)
    outcomes = verbs.act("retry", [child.name, parent.name])
    assert [item.result for item in outcomes] == ["refused", "retried"]
    error = outcomes[0].error
    assert error is not None
    assert error.code == "parent_failed"
    assert [name in str(error) for name in (child.name, parent.name)] == [True, True]


def test_a_trial_changes_nothing() -> None:
    job = pending_job()
    assert verbs.act("cancel", [job.name], is_trial=True)[0].result == "canceled"
    assert reread(job).status == Status.PENDING


def test_a_users_page_has_the_users_jobs_alone(settings: Any) -> None:
    acme = make_organization()
    job, foreign = pending_job(organization=acme), pending_job()
    admin, member = make_user(admin_of=[acme]), make_user(member_of=[acme])
    assert [item.result for item in verbs.act("cancel", [job.name, foreign.name], user=member)] == [
        "refused",
        "unknown",
    ]
    assert [item.result for item in verbs.act("cancel", [job.name, foreign.name], user=admin)] == [
        "canceled",
        "unknown",
    ]
    assert reread(job).canceled_by == admin.username
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    assert verbs.act("cancel", [job.name], user=admin)[0].result == "unknown"
