"""What pages visit in the database, also where it knows nothing yet of how many jobs there are."""

from __future__ import annotations

from typing import Final

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from django_jobs.models import JobType, Organization
from tests.support import admin
from tests.support.admin import url
from tests.support.brokers import pending_job
from tests.support.factories import make_job_type
from tests.support.many_jobs import COMPLETED, DEAD, JOBS, multiply
from tests.support.plans import explained
from tests.support.tuning import forget_everything

pytestmark = [
    pytest.mark.usefixtures("broker"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="These are PostgreSQL's plans."),
]

COUNT: Final = 30_000
#: A count ends at 10,000, and some statements count several things.
MOST_VISITED: Final = 13_000
MOST_SORTED: Final = 5_000
QUERIES: Final[tuple[dict[str, str], ...]] = (
    {},
    {"p": "90"},
    {"status": "Completed"},
    {"status": "Completed", "p": "90"},
    {"has_error": "no"},
    {"has_error": "yes"},
    {"q": "it failed"},
    {"created_after": "30d", "p": "90"},
)


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


@pytest.fixture
def kinds(mine: Organization) -> list[JobType]:
    """The types of many jobs that were never counted by ANALYZE: most ended, some wait, some failed."""
    kinds = [make_job_type(type_name=f"kind_{number}") for number in range(5)]
    job = pending_job(kinds[0], mine)
    multiply(job, COUNT, [mine], kinds, COMPLETED)
    multiply(job, 1_000, [mine], kinds, {})
    multiply(job, 200, [mine], kinds, DEAD)
    return kinds


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("who", ["root", "member"])
def test_the_list_and_the_bar_visit_what_they_show(
    who: str, request: pytest.FixtureRequest, subtests: pytest.Subtests
) -> None:
    client: Client = request.getfixturevalue(who)
    for query in QUERIES:
        forget_everything()
        with subtests.test(query=query), explained(["custom"]) as plans:
            assert client.get(url("job", "changelist"), query).status_code == 200
        # How far the newest 100,000 reach is read from so many entries of an index, once in some minutes.
        found = [plan for plan in plans if JOBS in plan.sql and "key_behind" not in plan.sql]
        bad = [str(plan) for plan in found if plan.visited() > MOST_VISITED or plan.sorted() > MOST_SORTED]
        with subtests.test(query=query):
            assert bad == []


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("who", ["root", "member"])
def test_the_monitor_visits_what_it_shows(who: str, request: pytest.FixtureRequest) -> None:
    client: Client = request.getfixturevalue(who)
    with explained(["custom"]) as plans:
        assert client.get(reverse("admin:django_jobs_monitor_changelist")).status_code == 200
    assert [str(plan) for plan in plans if JOBS in plan.sql and plan.visited() > MOST_VISITED] == []
