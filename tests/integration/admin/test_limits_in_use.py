"""Limits of what runs, in the admin: how far a type uses them, and which one a job waits for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from django_jobs.models import Job, JobType, Organization
from tests.support import admin, verbs
from tests.support.admin import codes_on, fact_on, page_of, text, url
from tests.support.brokers import job_in, pending_job, queue_up
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


def flow(client: Client, kind: JobType) -> Any:
    response = client.get(url("jobtype", "change", kind.pk))
    assert response.status_code == 200
    return response.context["flow"]


def waits(client: Client, job: Job) -> tuple[list[str], str]:
    """Why a job waits, as its page says: the codes and the words."""
    said = fact_on(page_of(client, job), "waits_because")
    return codes_on(said), said


def fill(kind: JobType, organization: Organization, count: int, **parameters: Any) -> list[Job]:
    """Submit one job more than may run, and dispatch; return them all."""
    jobs = [pending_job(kind, organization, parameters={**parameters, "n": n}) for n in range(count + 1)]
    verbs.dispatch()
    return jobs


def test_a_type_tells_how_many_run_or_are_queued_of_how_many_may(root: Client, mine: Organization) -> None:
    kind = make_job_type(max_running=3)
    job_in("Running", job_type=kind)
    job_in("Queued", job_type=kind)
    in_flight = flow(root, kind)["in_flight"]
    assert re.findall(r"\d+", in_flight) == ["2", "3"]
    assert f"<dd>{in_flight}</dd>" in text(root, url("jobtype", "change", kind.pk))


def test_organizations_at_their_limit_are_named_and_the_others_counted(root: Client, tuning: Tuning) -> None:
    tuning.set(type_page_limited_names=1)
    kind = make_job_type(max_running_per_organization=1)
    for name in ("ORG-A", "ORG-B"):
        job_in("Running", job_type=kind, organization=make_organization(name=name))
    ((code, title, names, more),) = flow(root, kind)["full"]
    assert (code, len(names), more) == ("max_running_per_organization", 1, 1)
    shown = text(root, url("jobtype", "change", kind.pk)).partition(title)[2].partition("</ul>")[0]
    assert (shown.count("<li>"), re.findall(r"\d+", title)) == (2, ["1"])


def test_keys_at_their_limit_are_told_by_their_values(root: Client, mine: Organization, settings: Any) -> None:
    kind = make_job_type(concurrency_key="account", max_running_per_key=1)
    fill(kind, mine, 1, account="<42>")
    fill(kind, mine, 1, account="43")
    assert "account &lt;42&gt;" in text(root, url("jobtype", "change", kind.pk))
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ["account"]}
    shown = text(admin.system_admin(), url("jobtype", "change", kind.pk))
    assert "account ********" in shown
    assert "42" not in shown.partition('data-code="max_running_per_key"')[2].partition("</aside>")[0]


def test_starts_in_the_window_are_counted(root: Client, mine: Organization) -> None:
    kind = make_job_type(max_starts=20)
    fill(kind, mine, 2)  # one starts at once, and the others evenly spread
    ((_, starts),) = flow(root, kind)["rows"]
    assert re.findall(r"\d+", starts) == ["1", "20"]


def test_a_type_without_limits_tells_none(root: Client) -> None:
    found = flow(root, make_job_type())
    assert found == {"in_flight": "0", "rows": [], "full": [], "is_rekeyed": True}


def test_that_lanes_change_is_told(root: Client, mine: Organization) -> None:
    kind = make_job_type(concurrency_key="account")
    job = pending_job(kind, mine)
    JobType.objects.update(keyed_by=None)
    assert "rekeying" in codes_on(text(root, url("jobtype", "change", kind.pk)))
    Job.objects.filter(pk=job.pk).update(status="Pending")
    assert waits(root, job)[0] == ["rekeying"]


@pytest.mark.parametrize(
    ("fields", "code", "numbers"),
    [
        ({"max_running": 2}, "max_running", "2 2"),
        ({"max_running_per_organization": 2}, "max_running_per_organization", "2 2"),
        ({"concurrency_key": "account", "max_running_per_key": 2}, "max_running_per_key", "42 2 2"),
        ({"max_starts": 2}, "max_starts", "2 1"),
        (
            {"concurrency_key": "account", "max_running_per_key": 9, "max_starts_per_key": 2},
            "max_starts_per_key",
            "42 2 1",
        ),
    ],
)
def test_a_job_says_which_limit_it_waits_for(
    root: Client, mine: Organization, fields: Any, code: str, numbers: str
) -> None:
    last = fill(make_job_type(**fields), mine, 2, account=42)[-1]
    codes, words = waits(root, last)
    assert (codes, re.findall(r"\d+", words)) == ([code], numbers.split())
    assert ("account" in words) == ("concurrency_key" in fields)


def test_the_value_of_a_sensitive_key_is_masked(mine: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ["account"]}
    last = fill(make_job_type(concurrency_key="account"), mine, 1, account="secret-42")[-1]
    codes, words = waits(client := admin.system_admin(), last)
    assert codes == ["max_running_per_key"]
    assert "<bdi>account ********</bdi>" in words
    assert "secret-42" not in page_of(client, last)


def test_a_job_of_a_full_type_that_is_queued_waits_for_a_worker(root: Client) -> None:
    job = pending_job(make_job_type(max_running=1))
    queue_up(job)
    assert waits(root, job)[0] == ["broker"]
