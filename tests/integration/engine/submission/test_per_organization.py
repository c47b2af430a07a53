"""submit_for_each: one job for each organization; one that cannot have it is skipped and holds up nobody."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from rest_framework import serializers

from django_jobs import job_handler, submit_for_each, submit_job
from django_jobs.exceptions import (
    InvalidSubmission,
    JobTypeDisabled,
    JobTypeNotFound,
    OrganizationNotFound,
    PermissionDenied,
)
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, reread, running_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.statements import statements_of
from tests.support.verbs import Claimed

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300)


@pytest.fixture
def tenants() -> list[Organization]:
    return [make_organization(name=f"T-{number}") for number in range(4)]


def test_each_organization_gets_one_job_in_their_order(kind: JobType, tenants: list[Organization]) -> None:
    done = submit_for_each(kind, [tenants[2], "T-0", tenants[1], "T-0"], {"n": 1}, priority="High", timeout=7)
    assert [job.organization_name for job in done.submitted] == ["T-2", "T-0", "T-1"]
    assert done.skipped == {}
    assert {(job.priority, job.timeout_seconds, job.input_parameters["n"]) for job in Job.objects.all()} == {(2, 7, 1)}
    assert ExecutionLog.objects.count() == 3


@pytest.mark.parametrize(
    "given",
    [
        lambda: Organization.objects.order_by("name"),
        lambda: Organization.objects.order_by("name").values_list("name", flat=True),
        lambda: (name for name in ("T-0", "T-1", "T-2", "T-3")),
    ],
    ids=["queryset", "values", "generator"],
)
def test_any_iterable_will_do(given: Any, kind: JobType, tenants: list[Organization]) -> None:
    assert [job.organization_id for job in submit_for_each(kind, given()).submitted] == [t.pk for t in tenants]


def test_no_organization_is_no_error(kind: JobType) -> None:
    done = submit_for_each(kind, [])
    assert (done.submitted, done.skipped) == ([], {})


def test_one_that_cannot_have_it_is_skipped_with_the_reason(tenants: list[Organization], settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 2}
    kind = make_job_type(deduplication_window=300, rate_limit=1, rate_limit_window=60)
    Organization.objects.filter(name="T-0").update(is_active=False)
    submit_job(kind, tenants[1], {"n": 1})
    submit_job(kind, tenants[2], {"n": 2})
    for number in range(2):
        submit_job(make_job_type(), tenants[3], {"n": number})
    other = make_organization(name="T-4")
    done = submit_for_each(kind, [*tenants, other], {"n": 1})
    assert [job.organization_name for job in done.submitted] == ["T-4"]
    assert done.skipped == {
        "T-0": "organization_inactive",
        "T-1": "duplicate_job",
        "T-2": "rate_limited",
        "T-3": "queue_full",
    }


def test_what_was_canceled_keeps_nobody_out(kind: JobType, tenants: list[Organization]) -> None:
    job_in("Canceled", job_type=kind, organization=tenants[0])
    assert len(submit_for_each(kind, tenants).submitted) == 4


def test_the_earlier_job_may_be_given_back_or_replaced(kind: JobType, tenants: list[Organization]) -> None:
    first = submit_job(kind, tenants[0], {"n": 1}, unique_key="k")
    done = submit_for_each(kind, tenants[:2], {"n": 2}, unique_key="k", on_duplicate="return")
    assert (done.submitted[0], done.skipped) == (first, {})
    done = submit_for_each(kind, tenants, {"n": 3}, unique_key="k", on_duplicate="replace")
    assert done.submitted[0] == first
    assert [reread(job).input_parameters["n"] for job in done.submitted] == [3] * 4
    assert Job.objects.count() == 4


def test_jobs_reach_the_broker_with_the_commit(
    kind: JobType, tenants: list[Organization], broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        done = submit_for_each(kind, tenants)
    assert sorted(broker.pks()) == sorted(job.pk for job in done.submitted)


def test_unknown_organizations_are_refused_before_anything_is_submitted(
    kind: JobType, tenants: list[Organization]
) -> None:
    with pytest.raises(OrganizationNotFound) as caught:
        submit_for_each(kind, ["T-0", "nowhere", "T-1", 7])
    assert caught.value.codes == {"organizations": ["unknown_organization"]}
    [text] = caught.value.errors["organizations"]
    assert [name in text for name in ("'nowhere'", "'7'", "T-0")] == [True, True, False]
    assert caught.value.refused_call == f"submit_for_each({kind.pk!r})"
    assert not Job.objects.exists()


@pytest.mark.usefixtures("nothing_declared")
def test_what_is_wrong_for_all_raises(kind: JobType, tenants: list[Organization]) -> None:
    class Numbered(serializers.Serializer[Any]):
        n = serializers.IntegerField()

    from tests.support.handlers import do_nothing

    with pytest.raises(JobTypeNotFound):
        submit_for_each("nothing", tenants)
    with pytest.raises(JobTypeDisabled):
        submit_for_each(make_job_type(is_enabled=False), tenants)
    with pytest.raises(InvalidSubmission, match="priority"):
        submit_for_each(kind, tenants, priority="urgent")
    with pytest.raises(InvalidSubmission, match="unique_key"):
        submit_for_each(make_job_type(), tenants, unique_key="k")
    job_handler(kind.pk, parameters=Numbered)(do_nothing)
    with pytest.raises(InvalidSubmission, match=r"parameters\.n"):
        submit_for_each(kind, tenants, {"n": "x"})
    with pytest.raises(TypeError, match="colour"):
        submit_for_each(kind, tenants, colour="red")  # type: ignore[call-arg]
    assert not Job.objects.exists()


def test_what_is_no_list_is_refused(subtests: pytest.Subtests, kind: JobType, tenants: list[Organization]) -> None:
    cases: list[Any] = ["T-0", b"T-1", {"T-0": 1}, 7, None]
    for bad in cases:
        with subtests.test(bad=bad):
            with pytest.raises(InvalidSubmission) as caught:
                submit_for_each(kind, bad)
            assert caught.value.codes == {"organizations": ["not_a_list"]}
    with pytest.raises(InvalidSubmission) as caught:
        submit_for_each(kind, tenants[0])  # type: ignore[arg-type]
    assert caught.value.codes == {"organizations": ["not_a_list"]}


def test_a_users_rights_are_asked_for_each(kind: JobType, tenants: list[Organization]) -> None:
    member = make_user(member_of=tenants[:2])
    assert {job.owner_name for job in submit_for_each(kind, tenants[:2], user=member).submitted} == {member.username}
    with pytest.raises(PermissionDenied):
        submit_for_each(kind, tenants, {"n": 2}, user=member)
    with pytest.raises(JobTypeNotFound):
        submit_for_each(make_job_type(submit_by="code"), tenants[:2], user=member)
    assert len(submit_for_each(kind, tenants, {"n": 3}, user=make_system_admin()).submitted) == 4


@pytest.fixture
def second_attempt() -> Iterator[Claimed]:
    """A handler runs here whose job was tried before."""
    _, claimed = running_job()
    claimed = dataclasses.replace(claimed, attempt=2)
    token = verbs.current_job.set(claimed)
    yield claimed
    verbs.current_job.reset(token)


def made_earlier(kind: JobType, organizations: Iterable[Any]) -> list[Job]:
    """What the first attempt of the running job submitted."""
    done = submit_for_each(kind, organizations, {"n": 1})
    Job.objects.filter(job_type=kind).update(submitted_by_attempt=1)
    return done.submitted


@pytest.mark.usefixtures("second_attempt")
@pytest.mark.parametrize("window", [0, 300])
def test_a_later_attempt_replaces_what_the_earlier_one_submitted(
    window: int, kind: JobType, tenants: list[Organization]
) -> None:
    JobType.objects.filter(pk=kind.pk).update(deduplication_window=window)
    waiting, begun, canceled = made_earlier(kind, tenants[:3])
    Job.objects.filter(pk=begun.pk).update(status="Completed", ready_at=None)
    Job.objects.filter(pk=canceled.pk).update(status="Canceled", ready_at=None)
    done = submit_for_each(kind, tenants, {"n": 1}, on_duplicate="replace", priority="Critical")
    assert (done.submitted[:2], done.skipped) == ([waiting, begun], {})
    assert [reread(job).priority for job in done.submitted] == [3, begun.priority, 3, 3]
    assert reread(waiting).submitted_by_attempt == 2
    assert Job.objects.filter(job_type=kind).count() == 5


@pytest.mark.usefixtures("second_attempt")
def test_a_later_attempt_replaces_many(kind: JobType) -> None:
    names = [f"T-{number:05d}" for number in range(1_500)]
    Organization.objects.bulk_create([Organization(name=name) for name in names])
    JobType.objects.filter(pk=kind.pk).update(deduplication_window=0)
    made_earlier(kind, names)
    submit_for_each(kind, names, {"n": 1}, on_duplicate="replace", priority="High")
    assert Job.objects.filter(job_type=kind, priority=2).count() == 1_500


def test_many_organizations_take_as_many_statements_as_a_few(kind: JobType, tenants: list[Organization]) -> None:
    many = [make_organization() for _ in range(12)]
    submit_for_each(kind, tenants[:1])  # what is remembered is asked
    few = statements_of(lambda: submit_for_each(kind, tenants[2:]))
    assert statements_of(lambda: submit_for_each(kind, many)) <= few <= 20


@pytest.mark.slow
def test_many_thousands_are_submitted_replaced_and_skipped(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 100}
    kind = make_job_type(deduplication_window=300, rate_limit=5)
    names = [f"T-{number:05d}" for number in range(4_500)]
    Organization.objects.bulk_create([Organization(name=name) for name in names], batch_size=2_000)
    submit_for_each(kind, names)
    assert Job.objects.count() == 4_500
    # Pending, on their way, and begun.
    Job.objects.filter(pk__lt=Job.objects.order_by("pk")[1_500].pk).update(status="Queued", ready_at=None)
    Job.objects.filter(pk__gte=Job.objects.order_by("pk")[4_400].pk).update(status="Completed", ready_at=None)
    submit_for_each(kind, names, on_duplicate="replace", priority="High")
    assert Job.objects.filter(priority=2, status="Pending").count() == 4_500
    assert Job.objects.count() == 4_600
    done = submit_for_each(kind, names)
    assert len(done.skipped) == 4_500
