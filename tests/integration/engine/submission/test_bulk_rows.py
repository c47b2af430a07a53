"""Whatever is submitted, one of many is stored as it would be alone, and refused for the same reason."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_jobs import submit_job, submit_jobs
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import DependencyTask, DuplicateKey, ExecutionLog, Job, JobDependency
from tests.support.factories import make_job_type, make_organization, make_user

pytestmark = pytest.mark.usefixtures("broker")


class Moment(dt.datetime):
    """As the libraries of moments have it: an heir of Python's own."""


class Tries(enum.IntEnum):
    FEW = 2


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.sampled_from(
    ["\\u0000", '"', "\\", "{NULL}", "null", "NULL", "%s %(a)s", "'", "a\nb", "🙂", "\u2028"]
)
NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([2**63, 10**40, -0.0, 1e22, 5e-324, True])
)
VALUES = st.recursive(
    st.none() | st.booleans() | TEXT | NUMBERS | st.uuids() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)


def moments(first: int, last: int) -> st.SearchStrategy[dt.datetime]:
    zones = st.timezones() | st.just(dt.UTC)
    earliest, latest = (dt.datetime(year, 1, 1) for year in (first, last))  # noqa: DTZ001  (the zones are added)
    plain = st.datetimes(earliest, latest, timezones=zones)
    return plain | plain.map(lambda moment: Moment.fromtimestamp(moment.timestamp(), moment.tzinfo))


OPTIONAL = {
    "parameters": OBJECTS | st.none(),
    "metadata": OBJECTS | st.none(),
    "priority": st.sampled_from([None, "High", "low", 0, 1, 2, 3, "2"]),
    "run_at": moments(2, 9990) | st.none(),
    "expires_at": moments(9991, 9999) | st.none(),
    "timeout": st.sampled_from([None, 1, 300, 7]),
    "max_retries": st.sampled_from([None, 0, 5, 100, Tries.FEW]),
    "deduplication_window": st.sampled_from([0, 60]),
    "run_after": st.sampled_from(["completed", "ended"]),
    "on_duplicate": st.sampled_from(["raise", "return"]),
}


def values_of(row: Model, *but: str) -> dict[str, Any]:
    return {
        field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if field.attname not in but
    }


def stored(job: Job) -> str:
    """All that is stored of a job, but for what no two submissions share: keys, and the moment of submission.

    As text, since True is 1 and 1.0 else.
    """
    row = values_of(job, "id", "created_at")
    if job.ready_at == job.created_at:
        row["ready_at"] = "now"
    logs = [
        (
            values_of(log, "id", "job_id", "timestamp", "transaction_id", "oldest_open_id"),
            log.timestamp - job.created_at,
        )
        for log in ExecutionLog.objects.filter(job=job)
    ]
    keys = [(key.pk, key.expires_at - job.created_at) for key in DuplicateKey.objects.filter(job_id=job.pk)]
    parents = sorted(JobDependency.objects.filter(child=job).values_list("parent_id", flat=True))
    return repr((row, logs, keys, parents, DependencyTask.objects.filter(job_id=job.pk).exists()))


def outcome(submit: Callable[[], Any]) -> Any:
    """The rows that a submission leaves, or its refusal; it is undone again."""
    with transaction.atomic():
        try:
            submit()
            return [stored(job) for job in Job.objects.order_by("pk")]
        except InvalidSubmission as error:
            return type(error), error.errors
        finally:
            transaction.set_rollback(True)


def one_by_one(items: list[dict[str, Any]], user: Any) -> Any:
    def submit() -> None:
        for index, item in enumerate(items):
            try:
                submit_job(**item, user=user)
            except InvalidSubmission as error:
                error.errors = {f"{index}.{name}": texts for name, texts in error.errors.items()}
                raise

    return outcome(submit)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_one_of_many_is_stored_as_it_would_be_alone(data: Any) -> None:
    with transaction.atomic():
        kinds = [make_job_type(deduplication_window=300), make_job_type(default_priority=2, max_retries=0)]
        tenants = [make_organization(), make_organization()]
        user = data.draw(st.sampled_from([None, make_user("ü'\"%s", member_of=tenants)]))
        parents = {
            tenant.pk: [submit_job(kinds[1], tenant, {"parent": number}) for number in "ab"] for tenant in tenants
        }
        items = []
        for number in range(data.draw(st.integers(1, 6))):
            tenant = data.draw(st.sampled_from(tenants))
            item = data.draw(st.fixed_dictionaries({}, optional=OPTIONAL))
            item |= {"job_type": data.draw(st.sampled_from(kinds)), "organization": tenant}
            if data.draw(st.booleans()):
                item["depends_on"] = data.draw(st.lists(st.sampled_from(parents[tenant.pk]), max_size=3))
            if item.setdefault("deduplication_window", 30) != 0:
                item["unique_key"] = f"{number} {data.draw(TEXT)}"
            items.append(item)
        alone = one_by_one(items, user)
        many = outcome(lambda: submit_jobs(items, user=user))
        if isinstance(alone, tuple) and isinstance(many, tuple):  # the first refusal, and all
            assert alone[1].items() <= many[1].items()
        else:
            assert many == alone
        transaction.set_rollback(True)
