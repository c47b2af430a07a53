"""The file that a job saved, in the admin: its download, to whom, and when there is none."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from django_jobs.models import Job, Organization
from tests.support import admin, verbs
from tests.support.admin import codes_said, page_of, url
from tests.support.brokers import job_in
from tests.support.factories import make_user
from tests.support.outputs import finished_with_file

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


def test_the_file_that_a_job_saved_is_downloaded(root: Client, member: Client, mine: Organization) -> None:
    job = finished_with_file(mine)
    assert 'href="../output/"' in page_of(member, job)
    for client in (root, member):
        response = client.get(url("job", "output", job.pk))
        assert b"".join(response.streaming_content) == b"%PDF"  # type: ignore[attr-defined]
        assert response["Content-Disposition"].startswith("attachment; filename=")
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in response["Cache-Control"]


def test_a_file_is_withheld_while_the_organization_is_suspended(member: Client, mine: Organization) -> None:
    job = finished_with_file(mine)
    Organization.objects.update(is_active=False)
    assert 'href="../output/"' not in page_of(member, job)
    assert member.get(url("job", "output", job.pk)).status_code == 403


def test_a_policy_withholds_a_file_from_system_admins_too(
    root: Client, member: Client, mine: Organization, settings: Any
) -> None:
    job = finished_with_file(mine)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OutputsForOwners"}
    for client in (root, member):
        assert 'href="../output/"' not in page_of(client, job)
        assert client.get(url("job", "output", job.pk)).status_code == 403
    Job.objects.update(owner=User.objects.get(username="root"))
    assert b"".join(root.get(url("job", "output", job.pk)).streaming_content) == b"%PDF"  # type: ignore[attr-defined]


def test_a_reference_that_is_no_file_of_the_job_is_mere_text(root: Client, mine: Organization) -> None:
    other, job = finished_with_file(mine), job_in("Completed")
    Job.objects.filter(pk=job.pk).update(output_reference=other.output_reference)
    assert 'href="../output/"' not in page_of(root, job)
    assert codes_said(root.get(url("job", "output", job.pk), follow=True)) == ["no_file"]


def test_a_file_that_is_gone_is_said_to_be_gone(root: Client, mine: Organization) -> None:
    job = finished_with_file(mine)
    verbs.delete_outputs(mine.pk, job.name)
    assert codes_said(root.get(url("job", "output", job.pk), follow=True)) == ["no_file"]


def test_a_file_is_streamed_by_an_asgi_server_too(mine: Organization) -> None:
    job = finished_with_file(mine)
    client = AsyncClient()
    client.force_login(make_user(is_staff=True, is_superuser=True))

    async def read() -> bytes:
        response = await client.get(url("job", "output", job.pk))
        return b"".join([part async for part in response])  # type: ignore[attr-defined]

    assert async_to_sync(read)() == b"%PDF"


def test_a_packed_file_is_not_taken_for_what_is_in_it(root: Client, mine: Organization) -> None:
    job = finished_with_file(mine, filename="report.csv.gz", content=b"\x1f\x8b")
    response = root.get(url("job", "output", job.pk))
    assert b"".join(response.streaming_content) == b"\x1f\x8b"  # type: ignore[attr-defined]
    assert response["Content-Type"] == "application/octet-stream"
