"""What one submission may say in place of its type's settings, and the exceptions that name one mistake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import pytest
from django.utils import timezone

from django_jobs import submit_job, submit_jobs
from django_jobs.exceptions import (
    DuplicateJob,
    InvalidSubmission,
    JobTypeDisabled,
    JobTypeNotFound,
    OrganizationInactive,
    OrganizationNotFound,
)
from django_jobs.models import Job, JobType, Organization
from tests.support.brokers import job_in, reread
from tests.support.factories import make_job_type, make_organization, make_user

pytestmark = pytest.mark.usefixtures("broker")

SOON: Final = dt.timedelta(hours=1)


@pytest.fixture
def job_type() -> JobType:
    return make_job_type()


def one(kind: Any, organization: Any, **fields: Any) -> Job:
    return submit_job(kind, organization, **fields)


def among_many(kind: Any, organization: Any, **fields: Any) -> Job:
    return submit_jobs([{"job_type": kind, "organization": organization, **fields}])[0]


both = pytest.mark.parametrize("submit", [one, among_many])


@both
def test_each_value_takes_the_place_of_the_types(submit: Callable[..., Job], organization: Organization) -> None:
    kind = make_job_type(max_retries=5, default_timeout=300)
    moment = timezone.now() + SOON
    job = submit(kind, organization, timeout=7, max_retries=0, expires_at=moment, run_after="ended")
    stored = reread(job)
    assert (stored.timeout_seconds, stored.max_retries, stored.run_after) == (7, 0, "ended")
    assert stored.expires_at == job.expires_at == moment
    assert (stored.submitted_by_id, stored.submitted_by_attempt) == (None, None)


def test_metadata_on_which_processes_act_are_for_code_alone(organization: Organization, job_type: JobType) -> None:
    own = {"trace_context": {"baggage": "is_admin=1"}, "task_backend": "x", "task_priority": 10**30, "task_queue": []}
    item: Any = {"job_type": job_type, "organization": organization, "metadata": {"ticket": "é-7", **own}}
    member = make_user(member_of=[organization])
    for submitted in (submit_job(**item, user=member), *submit_jobs([item], user=member)):
        assert reread(submitted).metadata == submitted.metadata == {"ticket": "é-7"}
    assert reread(submit_job(**item)).metadata == item["metadata"]


@both
def test_what_is_not_said_is_the_types(submit: Callable[..., Job], organization: Organization) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ["unique_key", "deduplication_window", "timeout", "max_retries", "expires_at", "priority", "run_at"]
    )
    stored = reread(submit(make_job_type(max_retries=3, default_timeout=9), organization, **nothing))
    assert (stored.timeout_seconds, stored.max_retries, stored.expires_at) == (9, 3, None)
    assert stored.run_after == "completed"


BAD: Final[dict[str, list[Any]]] = {
    "unique_key": ["", "x" * 201, 7, "a\x00b", "\ud800"],
    "deduplication_window": [-1, 30 * 24 * 3600 + 1, True, 1.5, "300"],
    "timeout": [0, -1, 30 * 24 * 3600 + 1, True, "7"],
    "max_retries": [-1, 101, False, 2.0],
    "expires_at": ["tomorrow", dt.datetime(2100, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)],  # noqa: DTZ001
    "run_after": ["", "failed", None, 1],
    "on_duplicate": ["ignore", None],
}


@both
def test_an_impossible_value_is_refused_by_name(
    subtests: pytest.Subtests, submit: Callable[..., Job], job_type: JobType, organization: Organization
) -> None:
    for field, value in [(field, value) for field, values in BAD.items() for value in values]:
        with subtests.test(field=field, value=value):
            with pytest.raises(InvalidSubmission) as caught:
                submit(job_type, organization, **{field: value})
            assert [name.removeprefix("0.") for name in caught.value.errors] == [field]
            assert not Job.objects.exists()


def test_a_job_that_would_expire_before_it_may_run_is_refused(job_type: JobType, organization: Organization) -> None:
    now = timezone.now()
    for run_at in (now + 2 * SOON, now + SOON):
        codes = wrong(job_type, organization, run_at=run_at, expires_at=now + SOON).codes
        assert codes == {"expires_at": ["before_run_at"]}


def test_a_key_takes_the_place_of_the_parameters(organization: Organization) -> None:
    kind = make_job_type(deduplication_window=300)
    first = submit_job(kind, organization, {"n": 1}, unique_key="nightly")
    with pytest.raises(DuplicateJob) as caught:
        submit_job(kind, organization, {"n": 2}, unique_key="nightly")
    assert caught.value.existing == first
    submit_job(kind, organization, {"n": 1}, unique_key="hourly")
    submit_job(kind, organization, {"n": 1})
    submit_job(kind, organization, {"unique_key": "nightly"})
    submit_job(kind, make_organization(), {"n": 1}, unique_key="nightly")
    assert Job.objects.count() == 5


@both
def test_a_key_needs_a_window_to_be_unique_in(submit: Callable[..., Job], organization: Organization) -> None:
    open_kind, guarded = make_job_type(), make_job_type(deduplication_window=300)
    for kind, fields in ((open_kind, {}), (guarded, {"deduplication_window": 0})):
        with pytest.raises(InvalidSubmission) as caught:
            submit(kind, organization, unique_key="k", **fields)
        assert list(caught.value.codes.values()) == [["needs_window"]]
    assert submit(open_kind, organization, unique_key="k", deduplication_window=60).pk


def test_a_window_of_ones_own(organization: Organization) -> None:
    kind = make_job_type(deduplication_window=300)
    submit_job(kind, organization)
    assert submit_job(kind, organization, deduplication_window=0).pk
    without = make_job_type()
    first = submit_job(without, organization, deduplication_window=60)
    assert submit_job(without, organization, deduplication_window=60, on_duplicate="return") == first


# Many at once.


@pytest.fixture
def guarded() -> JobType:
    return make_job_type(deduplication_window=300)


def items(kind: JobType, organization: Organization, *numbers: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"job_type": kind, "organization": organization, "parameters": {"n": n}, **fields} for n in numbers]


def test_items_may_give_back_what_is_there(guarded: JobType, organization: Organization) -> None:
    first = submit_job(guarded, organization, {"n": 2})
    jobs = submit_jobs(items(guarded, organization, 1, 2, 3, on_duplicate="return"))
    assert jobs[1] == first
    assert [job.input_parameters["n"] for job in jobs] == [1, 2, 3]
    assert Job.objects.count() == 3


def test_the_same_work_twice_in_a_list_may_be_one_job(guarded: JobType, organization: Organization) -> None:
    jobs = submit_jobs(items(guarded, organization, 1, 2, 1, on_duplicate="return"))
    assert jobs[0] == jobs[2]
    assert jobs[0].pk
    assert Job.objects.count() == 2


def test_one_item_that_raises_refuses_the_others_at_its_place(guarded: JobType, organization: Organization) -> None:
    for number in (1, 2):
        submit_job(guarded, organization, {"n": number})
    mixed = [*items(guarded, organization, 0, 1, on_duplicate="return"), *items(guarded, organization, 2)]
    with pytest.raises(DuplicateJob) as caught:
        submit_jobs(mixed)
    assert caught.value.index == 2
    assert Job.objects.count() == 2


def test_what_is_there_needs_no_room(organization: Organization) -> None:
    kind = make_job_type(deduplication_window=300, rate_limit=2, rate_limit_window=60)
    submit_jobs(items(kind, organization, 1, 2))
    assert len(submit_jobs(items(kind, organization, 1, 2, on_duplicate="return"))) == 2
    assert submit_job(kind, organization, {"n": 1}, on_duplicate="return").pk


def test_lists_do_not_replace(guarded: JobType, organization: Organization) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        submit_jobs(items(guarded, organization, 1, on_duplicate="replace"))
    assert caught.value.codes == {"0.on_duplicate": ["invalid_choice"]}


# Exceptions.


def wrong(kind: Any, organization: Any, **fields: Any) -> InvalidSubmission:
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(kind, organization, **fields)
    return caught.value


def test_one_mistake_has_an_exception_of_its_own(job_type: JobType, organization: Organization) -> None:
    disabled, suspended = make_job_type(is_enabled=False), make_organization(is_active=False)
    assert type(wrong("nothing", organization)) is JobTypeNotFound
    assert type(wrong(job_type, "nowhere")) is OrganizationNotFound
    assert type(wrong(disabled, organization)) is JobTypeDisabled
    assert type(wrong(job_type, suspended)) is OrganizationInactive
    assert type(wrong(job_type, organization, parameters=[1])) is InvalidSubmission
    closed = make_job_type(submit_by="code")
    assert type(wrong(closed, organization, user=make_user(member_of=[organization]))) is JobTypeNotFound


def test_it_is_caught_whatever_else_is_wrong(organization: Organization) -> None:
    error = wrong("nothing", "nowhere", parameters=[1])
    assert type(error) is JobTypeNotFound
    assert set(error.errors) == {"job_type", "organization", "parameters"}
    disabled = make_job_type(is_enabled=False)
    assert type(wrong(disabled, make_organization(is_active=False))) is JobTypeDisabled


def test_a_list_raises_it_where_it_is_what_is_wrong_with_each(job_type: JobType, organization: Organization) -> None:
    def refusal(*names: Any) -> type[InvalidSubmission]:
        with pytest.raises(InvalidSubmission) as caught:
            submit_jobs([{"job_type": name, "organization": organization} for name in names])
        return type(caught.value)

    assert refusal("nothing", job_type) is JobTypeNotFound
    assert refusal("nothing", make_job_type(is_enabled=False)) is InvalidSubmission


def test_a_parent_that_has_died_may_be_waited_for_where_its_end_is_enough(
    job_type: JobType, organization: Organization
) -> None:
    parent = job_in("Dead Letter", job_type=job_type, organization=organization)
    assert submit_job(job_type, organization, depends_on=parent, run_after="ended").pk
    assert wrong(job_type, organization, depends_on=parent).codes == {"depends_on": ["will_not_complete"]}
