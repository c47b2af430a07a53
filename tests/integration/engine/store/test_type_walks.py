"""A type's jobs are read by their index, past the jobs of no other type, however many there are of which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import pending_job
from tests.support.factories import make_job_type, make_organization
from tests.support.job_copies import copies

pytestmark = pytest.mark.usefixtures("broker")

INDEX = "djobs_type_newest"
ANALYZE = {"postgresql": "ANALYZE {}", "mysql": "ANALYZE TABLE {}", "sqlite": "ANALYZE {}"}


def many(kind: JobType, organization: Organization, count: int) -> list[int]:
    """Make so many jobs of a type and return their keys."""
    pattern = pending_job(job_type=kind, organization=organization)
    return [pattern.pk, *copies(pattern, count - 1)]


def keys(rows: QuerySet[Job]) -> list[int]:
    return list(rows.values_list("pk", flat=True))


def test_the_jobs_of_one_type_come_organization_by_organization_the_newest_first() -> None:
    kind, first, second = make_job_type(), make_organization(), make_organization()
    own = [many(kind, organization, 2) for organization in (second, first)]
    many(make_job_type(), first, 2)
    assert keys(verbs.store().of_type(kind.pk)) == [*reversed(own[1]), *reversed(own[0])]
    assert keys(verbs.store().of_type(kind.pk, first.pk)) == own[0][::-1]
    assert keys(verbs.store().of_type(kind.pk, second.pk)) == []


def test_those_of_one_organization_go_on_behind_one() -> None:
    kind, organization = make_job_type(), make_organization()
    own = many(kind, organization, 4)
    many(kind, make_organization(), 2)
    many(make_job_type(), organization, 2)
    assert keys(verbs.store().older_of_type(kind.pk, organization.pk, own[2])) == own[1::-1]


@pytest.mark.django_db(transaction=True)  # on MariaDB, ANALYZE commits
@pytest.mark.parametrize("share", [5, 2_000], ids=["a rare type", "a type like the other"])
def test_each_is_read_by_the_index_of_types(share: int) -> None:
    kind, other, organization = make_job_type(), make_job_type(), make_organization()
    many(other, organization, 2_000)
    own = many(kind, organization, share)
    with connection.cursor() as cursor:
        cursor.execute(ANALYZE[connection.vendor].format(Job._meta.db_table))
    walks: dict[str, Callable[[], QuerySet[Job]]] = {
        "all": lambda: verbs.store().of_type(kind.pk),
        "behind": lambda: verbs.store().of_type(kind.pk, organization.pk),
        "older": lambda: verbs.store().older_of_type(kind.pk, organization.pk, own[-1] + 1),
    }
    for walk in walks.values():
        with verbs.store().following_keys():
            rows: QuerySet[Job, Any] = walk().values_list("pk", "created_at")[:1_000]
            assert INDEX in rows.explain(), rows.explain()
