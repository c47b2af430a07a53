"""The quickstart's curls, with only host and credential changed, and their REST equivalents, at a real web server."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from rest_framework.authtoken.models import Token

import django_jobs
from django_jobs import get_job_status
from django_jobs.models import Job, Organization
from django_jobs.statuses import Status
from tests.acceptance.steps import wait_for_status
from tests.support.factories import make_job_type, make_user
from tests.support.http import Site
from tests.support.shop import make_quickstart_shop
from tests.support.workers import ProcessPool

SUBMIT = """curl -X POST \\
  'https://your-site.com/api/method/dartwing.dartwing_core.api.jobs.submit_job' \\
  -H 'Authorization: token api_key:api_secret' \\
  -H 'Content-Type: application/json' \\
  -d '{
    "job_type": "pdf_generation",
    "organization": "ORG-2025-00001",
    "parameters": {
      "template": "monthly_report"
    }
  }'
"""
STATUS = """curl \\
  'https://your-site.com/api/method/dartwing.dartwing_core.api.jobs.get_job_status?job_id=JOB-2025-00001' \\
  -H 'Authorization: token api_key:api_secret'
"""
CANCEL = """curl -X POST \\
  'https://your-site.com/api/method/dartwing.dartwing_core.api.jobs.cancel_job' \\
  -H 'Authorization: token api_key:api_secret' \\
  -H 'Content-Type: application/json' \\
  -d '{"job_id": "JOB-2025-00001"}'
"""
METRICS = """curl 'https://your-site.com/api/method/dartwing.dartwing_core.api.jobs.get_job_metrics' \\
  -H 'Authorization: token api_key:api_secret'
"""
SUBMISSION = {
    "job_type": "pdf_generation",
    "organization": "ORG-2025-00001",
    "parameters": {"template": "monthly_report"},
}


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    """The quickstart's organization with some of the example shop's orders."""
    return make_quickstart_shop()


def token_for(organization: Organization) -> str:
    return str(Token.objects.create(user=make_user("quick", admin_of=[organization])).key)


@pytest.fixture
def site(processes: ProcessPool, organization: Organization) -> Site:
    """The running example project, for an admin of the organization."""
    return Site(processes, token_for(organization))


def test_the_curls_of_the_quickstart_are_answered_as_it_says(site: Site) -> None:
    # Section 2
    answer = site.curl(SUBMIT)
    job = Job.objects.get()
    assert (answer.status, answer.json()) == (
        200,
        {"message": {"job_id": job.name, "status": "Queued", "message": "Job submitted successfully"}},
    )
    assert (job.owner_name, job.input_parameters) == ("quick", {"template": "monthly_report"})

    # Section 3
    answer = site.curl(STATUS.replace("JOB-2025-00001", job.name))
    told = answer.json()["message"]
    assert (answer.status, told["job_id"], told["status"], told["progress"]) == (200, job.name, "Queued", 0)

    # Section 8
    answer = site.curl(METRICS)
    told = answer.json()["message"]
    assert (answer.status, told["job_count_by_status"]["Queued"]) == (200, 1)
    assert told["queue_depth_by_priority"] == {"Critical": 0, "High": 0, "Normal": 1, "Low": 0}
    assert told["processing_time"] == {"average_seconds": None, "p95_seconds": None}

    # Section 7
    answer = site.curl(CANCEL.replace("JOB-2025-00001", job.name))
    assert (answer.status, answer.json()["message"]["status"]) == (200, "Canceled")
    assert get_job_status(job.name).status == "Canceled"

    # Without a good credential
    answer = site.curl(SUBMIT.replace("api_key:api_secret", "nonsense"))
    assert (answer.status, answer.json()["exc_type"]) == (401, "AuthenticationError")
    assert Job.objects.get() == job


def test_the_same_over_rest_from_the_submission_to_the_file(site: Site, processes: ProcessPool) -> None:
    answer = site.call("POST", "/api/jobs/", SUBMISSION)
    job_id = answer.json()["job_id"]
    assert (answer.status, answer.json()["status"]) == (201, "Queued")
    assert answer.headers["Location"] == f"{site.url}/api/jobs/{job_id}/"

    processes.worker()
    django_jobs.wait_for_job(job_id, timeout=60)
    told = site.call("GET", f"/api/jobs/{job_id}/").json()
    assert (told["status"], told["progress"]) == ("Completed", 100)
    history = site.call("GET", f"/api/jobs/{job_id}/history/").json()["history"]
    assert [row["to_status"] for row in history] == ["Pending", "Queued", "Running", "Completed"]
    output = site.call("GET", f"/api/jobs/{job_id}/output/")
    assert (output.status, output.content[:5]) == (200, b"%PDF-")
    assert output.headers["Content-Disposition"].startswith("attachment")
    assert site.call("GET", "/api/jobs/?status=Completed").json()["count"] == 1
    assert site.call("GET", "/api/jobs/metrics/").json()["job_count_by_status"]["Completed"] == 1


def test_a_running_job_is_canceled_and_one_that_died_is_retried_over_rest(site: Site, processes: ProcessPool) -> None:
    # One that looks at once may be Canceled before the answer is made, which then says so (200): this one never looks.
    running, dead = submitted(site, "swallow_everything"), submitted(site, "fail_for_good")
    processes.worker(settings={"CANCEL_GRACE_SECONDS": 2})
    wait_for_status(running, Status.RUNNING)
    cancel = f"/api/jobs/{running.name}/cancel/"
    answer = site.call("POST", cancel)
    assert (answer.status, answer.json()["cancel_requested"]) == (202, True)
    wait_for_status(running, Status.CANCELED)
    assert site.call("POST", cancel).status == 200

    wait_for_status(dead, Status.DEAD_LETTER)
    assert site.call("POST", f"/api/jobs/{dead.name}/retry/").status == 200
    told: Any = wait_for_status(dead, Status.DEAD_LETTER)
    assert told.attempt >= 1


def submitted(site: Site, handler: str) -> Job:
    """A job of a new type with this handler, submitted over REST."""
    kind = make_job_type(handler)
    answer = site.call("POST", "/api/jobs/", {**SUBMISSION, "job_type": kind.pk, "parameters": {}})
    return Job.objects.by_id(answer.json()["job_id"])


def test_a_redis_that_does_not_answer_holds_no_request(processes: ProcessPool, organization: Organization) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        site = Site(processes, token_for(organization), REDIS_URL=f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
        assert site.call("GET", "/api/jobs/").status == 200  # the first request loads what all others need
        answer = site.call("POST", "/api/jobs/", SUBMISSION, timeout=15)
        assert (answer.status, answer.json()["status"]) == (201, "Pending")
        assert site.call("GET", f"/api/jobs/{answer.json()['job_id']}/", timeout=15).status == 200
        assert site.call("POST", f"/api/jobs/{answer.json()['job_id']}/cancel/", timeout=15).status == 200
