"""Whatever is submitted or returned: only the contract's refusals come out, and no row is left half-made."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_jobs import submit_job, submit_jobs
from django_jobs.engine.execution import run
from django_jobs.exceptions import JobsError
from django_jobs.models import DependencyTask, DuplicateKey, ExecutionLog, Job, JobDependency, JobType, Organization
from tests.support import verbs
from tests.support.brokers import end, job_in, pending_job, reread, start
from tests.support.factories import make_job_type, make_user

pytestmark = pytest.mark.usefixtures("broker")

#: The whole of Unicode, with what no database takes: NUL and lone surrogates.
TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(["\x00", "\ud800", "\\u0000", "🙂", "\u2028", "a" * 300])
NUMBERS = (
    st.integers()
    | st.sampled_from([2**63, -(2**64), 10**400, True, float("nan"), float("-inf"), -0.0, 1e22])
    | st.floats(-1e9, 1e9)
)
MOMENTS = st.datetimes() | st.datetimes(timezones=st.timezones()) | st.dates() | st.times() | st.timedeltas()
ODDITIES = st.one_of(
    MOMENTS, st.decimals(), st.uuids(), st.binary(max_size=5), st.complex_numbers(), st.sets(st.integers(), max_size=2)
)
LEAVES = st.none() | TEXT | NUMBERS | ODDITIES | st.sampled_from([object(), print, dt.UTC, decimal.Decimal("NaN")])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | NUMBERS | st.none(), inner, max_size=4),
    max_leaves=12,
)
LARGE = [{"a": "x" * 65_526}, {"a": "x" * 65_527}, {"a": "é" * 11_000}, {"a": [1] * 30_000}]
OBJECTS = st.dictionaries(TEXT | st.integers(), VALUES, max_size=4) | st.sampled_from(LARGE)
ANYTHING = VALUES | OBJECTS
PRIORITIES = st.sampled_from(["High", "low", 0, 3, "2"]) | LEAVES
MODES = st.sampled_from(["raise", "return"]) | LEAVES

often = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300)


@pytest.fixture
def free() -> JobType:
    """A type that refuses no duplicates, so that the same example ends in the same way again."""
    return make_job_type()


@pytest.fixture
def parents(organization: Organization) -> list[Any]:
    """Jobs in every state, of this organization and another, and their ids."""
    ours = [job_in(status, organization=organization) for status in ("Pending", "Completed", "Canceled", "Dead Letter")]
    jobs = [*ours, pending_job(), Job(), Job(pk=1)]
    return [*jobs, *(job.name for job in [*ours, jobs[4]]), "JOB-2026-99999", f"JOB-1999-{ours[0].pk:05d}"]


def counts() -> dict[Any, int]:
    return {model: model._default_manager.count() for model in (Job, ExecutionLog, DuplicateKey, JobDependency)}


def is_refused(*args: Any, **kwargs: Any) -> bool:
    """Submit; a refusal must be the contract's, and change nothing."""
    before = counts(), DependencyTask.objects.count()
    try:
        job = submit_job(*args, **kwargs)
    except JobsError:
        assert (counts(), DependencyTask.objects.count()) == before
        return True
    assert_is_whole(job)
    return False


def assert_is_whole(job: Job) -> None:
    """The row, its first log entry and its links are all there, and say what the returned job says."""
    stored = reread(job)
    assert (stored.input_parameters, stored.metadata) == (through_json(job.input_parameters), job.metadata)
    assert (stored.created_at, stored.run_at, stored.ready_at) == (job.created_at, job.run_at, job.ready_at)
    assert ExecutionLog.objects.filter(job=job, from_status="", to_status="Pending").count() == 1
    assert (job.ready_at is None) == JobDependency.objects.filter(child=job).exists()
    assert DependencyTask.objects.filter(job_id=job.pk).exists() or job.ready_at is not None


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))


@often
@given(parameters=ANYTHING)
def test_parameters_of_any_kind(free: JobType, organization: Organization, parameters: Any) -> None:
    is_refused(free, organization, parameters)


@often
@given(metadata=ANYTHING, priority=PRIORITIES, run_at=MOMENTS | LEAVES, on_duplicate=MODES)
def test_other_fields_of_any_kind(
    kind: JobType, organization: Organization, metadata: Any, priority: Any, run_at: Any, on_duplicate: Any
) -> None:
    is_refused(kind, organization, metadata=metadata, priority=priority, run_at=run_at, on_duplicate=on_duplicate)


@often
@given(moment=st.datetimes(timezones=st.just(dt.UTC)))
def test_moments_of_every_year(kind: JobType, organization: Organization, moment: dt.datetime) -> None:
    is_refused(kind, organization, {"moment": moment}, run_at=moment)


@often
@given(job_type=LEAVES | VALUES, organization_id=LEAVES | VALUES)
def test_targets_of_any_kind_are_refused(
    kind: JobType, organization: Organization, job_type: Any, organization_id: Any
) -> None:
    assert is_refused(job_type, organization)
    assert is_refused(kind, organization_id)


@often
@given(data=st.data())
def test_parents_of_any_kind(kind: JobType, organization: Organization, parents: list[Any], data: Any) -> None:
    choice = st.sampled_from(parents) | LEAVES
    depends_on = data.draw(choice | st.lists(choice, max_size=4) | VALUES)
    number = data.draw(st.integers(0, 10**9))
    is_refused(kind, organization, {"number": number}, depends_on=depends_on)
    verbs.follow_up()


@often
@given(data=st.data())
def test_many_at_once_of_any_kind(kind: JobType, organization: Organization, parents: list[Any], data: Any) -> None:
    fields = {
        "job_type": st.just(kind) | LEAVES,
        "organization": st.just(organization) | LEAVES,
    }
    optional = {
        "parameters": ANYTHING,
        "priority": PRIORITIES,
        "run_at": MOMENTS | st.none(),
        "metadata": OBJECTS,
        "depends_on": st.lists(st.sampled_from(parents), max_size=3),
        "nonsense": LEAVES,
    }
    item = st.fixed_dictionaries(fields, optional=optional) | LEAVES
    items = data.draw(st.lists(item, max_size=4))
    before = counts()
    try:
        jobs = submit_jobs(items)
    except JobsError:
        assert counts() == before
        return
    assert len(jobs) == len(items)
    for job in jobs:
        assert_is_whole(job)


@often
@given(words=st.lists(TEXT, max_size=3))
def test_users_of_any_name(kind: JobType, organization: Organization, words: list[str]) -> None:
    user = make_user(member_of=[organization])
    user.get_username = lambda: "".join(words)  # type: ignore[method-assign]
    is_refused(kind, organization, {"words": user.pk}, user=user)


@often
@given(result=ANYTHING)
def test_results_of_any_kind_end_their_job(kind: JobType, organization: Organization, result: Any) -> None:
    job = pending_job(make_job_type(), organization)
    job = end(run._returned(start(job), result))
    assert job.status in {"Completed", "Dead Letter"}
    assert (job.status == "Completed") == (job.error_message == "")
    assert ExecutionLog.objects.filter(job=job).last().to_status == job.status  # type: ignore[union-attr]


@often
@given(reference=VALUES)
def test_output_references_of_any_kind_end_their_job(organization: Organization, reference: Any) -> None:
    job = pending_job(make_job_type(), organization)
    job = end(run._returned(start(job), {"output_reference": reference}))
    assert job.status in {"Completed", "Dead Letter"}
