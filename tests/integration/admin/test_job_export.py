"""The export of chosen jobs: its rows, what they hold and what they never hold."""

from __future__ import annotations

import csv
import datetime as dt
import io

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from pytest_django import Settings

from django_jobs.models import Job, Organization
from tests.support import admin
from tests.support.admin import chosen
from tests.support.brokers import job_in, pending_job
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

LIST = "/admin/django_jobs/job/"


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


def rows_of(client: Client, *jobs: Job) -> list[dict[str, str]]:
    response = client.post(LIST, chosen("export", *jobs))
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.getvalue().decode(), newline="")))


def test_an_export_has_a_row_a_job(root: Client, mine: Organization) -> None:
    first, second = pending_job(organization=mine, parameters={"month": "2026-10"}), job_in("Completed")
    rows = rows_of(root, first, second)
    assert [row["job"] for row in rows] == [second.name, first.name]
    assert rows[1]["parameters"] == '{"month": "2026-10"}'
    assert rows[1]["organization"] == "ORG-MINE"


def test_each_column_of_an_export_has_its_own_value(root: Client, mine: Organization) -> None:
    job = job_in("Dead Letter", organization=mine, priority="High", user=make_user("ann", member_of=[mine]))
    columns = ("created_at", "run_at", "queued_at", "started_at", "completed_at", "canceled_at")
    moments = {column: job.created_at + dt.timedelta(seconds=place) for place, column in enumerate(columns)}
    values = {"progress": 40, "attempt": 3, "retry_count": 2, "canceled_by": "bob"}
    errors = {"error_type": "Transient", "error_message": "no route"}
    Job.objects.filter(pk=job.pk).update(**moments, **values, **errors)
    (row,) = rows_of(root, job)
    assert row == {
        "job": job.name,
        "type": job.job_type_id,
        "organization": "ORG-MINE",
        "owner": "ann",
        "status": "Dead Letter",
        "priority": "High",
        "parameters": "{}",
        **{name: str(value) for name, value in (values | errors).items()},
        **{name: moment.isoformat() for name, moment in moments.items()},
    }


def test_no_cell_of_an_export_is_a_formula(subtests: pytest.Subtests, root: Client) -> None:
    unseen = "\u200b\ufeff\u00ad\u2060\u202e\u00a0\u034f\ufe0f\u180e\u115f\u1160\u2800\u3164\uffa0\x01\x7f"
    hidden = [f"{char}=1" for char in unseen] + [f"{unseen}@SUM(A1)"]
    signs = ["\uff1d1", "\ufe661", "\ufe621", "\ufe631", "\ufe6b1", "\u2a751"]
    for text in ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\r\n=1", *signs, *hidden):
        with rolled_back(subtests, text=text):
            job = job_in("Dead Letter")
            Job.objects.filter(pk=job.pk).update(error_message=text)
            (row,) = rows_of(root, job)
            assert row["error_message"] == f"'{text}"


def test_an_export_masks_what_is_sensitive(root: Client, member: Client, mine: Organization, settings: object) -> None:
    job = pending_job(organization=mine, parameters={"Password": "hunter2"})
    settings.DJANGO_JOBS = {"SENSITIVE_PARAMETERS": ("password",)}  # type: ignore[attr-defined]
    assert "hunter2" not in rows_of(member, job)[0]["parameters"]
    assert "hunter2" in rows_of(root, job)[0]["parameters"]


def test_an_export_pages_to_its_bound(root: Client, tuning: Tuning) -> None:
    tuning.set(export_batch_jobs=2, export_rows=5)
    kind, tenant = make_job_type(), make_organization()
    jobs = [pending_job(kind, tenant) for _ in range(7)]
    assert [row["job"] for row in rows_of(root, *jobs)] == [job.name for job in reversed(jobs[2:])]


def test_an_export_holds_nothing_of_another_organization(member: Client, mine: Organization) -> None:
    make_user()
    job, foreign = pending_job(organization=mine), pending_job()
    assert [row["job"] for row in rows_of(member, job, foreign)] == [job.name]


def test_an_export_leaves_out_what_the_policy_hides(member: Client, mine: Organization, settings: Settings) -> None:
    own = pending_job(organization=mine, user=User.objects.get(pk=member.session["_auth_user_id"]))
    other = pending_job(organization=mine, user=make_user(member_of=[mine]))
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    assert [row["job"] for row in rows_of(member, own, other)] == [own.name]


def test_an_export_streams_to_an_asgi_server_too(mine: Organization) -> None:
    job = pending_job(organization=mine)
    client = AsyncClient()
    client.force_login(make_user(is_staff=True, is_superuser=True))

    async def export() -> str:
        response = await client.post(LIST, chosen("export", job))
        return "".join([chunk.decode() async for chunk in response])  # type: ignore[attr-defined]

    assert job.name in async_to_sync(export)()
