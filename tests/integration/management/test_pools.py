"""What the commands say of pools, and whom ``jobs_worker --pool`` serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_jobs import submit_job
from django_jobs.management.commands import jobs_worker
from django_jobs.models import Job, JobType, Organization
from django_jobs.pools import queue_names
from tests.support import verbs
from tests.support.commands import call, run
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import ChildProcess, Interpose, WorkerOptions

pytestmark = pytest.mark.usefixtures("sound")


@pytest.fixture
def organization() -> Organization:
    return make_organization(name="ORG-1")


@pytest.fixture
def gpu(settings: Any) -> JobType:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    return make_job_type(pool="gpu")


def findings() -> dict[str, tuple[str, str, Mapping[str, Any]]]:
    return {finding.subject: (finding.level, finding.code, finding.facts) for finding in verbs.examine()}


# -- jobs_check


def test_without_pools_none_is_told() -> None:
    assert not [subject for subject in findings() if subject.startswith("pool ")]


def test_a_pool_with_workers_is_fine(gpu: JobType) -> None:
    verbs.announce_worker("gpu-1", queue_names("gpu"), slots=1)
    found = findings()
    assert found["pool gpu"] == ("OK", "served", {"types": 1})
    assert found["pool default"][0] == found["queue jobs-gpu-low"][0] == "OK"


@pytest.mark.parametrize("status", ["Pending", "Queued"])
def test_a_pool_without_workers_is_a_problem_once_its_jobs_wait(
    gpu: JobType, organization: Organization, status: str
) -> None:
    assert findings()["pool gpu"][0] == "WARNING"
    job = submit_job(gpu, organization)
    if status == "Queued":
        verbs.dispatch()
    assert Job.objects.get(pk=job.pk).status == status
    assert findings()["pool gpu"] == ("PROBLEM", "no_worker", {"pool": "gpu"})


def test_a_pool_whose_workers_are_all_quiet_is_a_problem_once_its_jobs_wait(
    gpu: JobType, organization: Organization
) -> None:
    verbs.announce_worker("gpu-1", queue_names("gpu"), slots=1, quiet_since=timezone.now())
    assert findings()["pool gpu"][:2] == ("WARNING", "workers_quiet")
    submit_job(gpu, organization)
    assert findings()["pool gpu"][:2] == ("PROBLEM", "workers_quiet")


def test_jobs_of_other_pools_do_not_count(gpu: JobType, organization: Organization) -> None:
    submit_job(make_job_type(), organization)
    assert findings()["pool gpu"][0] == "WARNING"


def test_a_queue_of_a_pool_that_its_workers_leave_out_is_a_problem(gpu: JobType) -> None:
    verbs.announce_worker("gpu-1", ["jobs-gpu-low"], slots=1)
    assert findings()["queue jobs-gpu-high"] == ("PROBLEM", "no_worker", {"pool": "gpu"})


@pytest.mark.parametrize("remaining", [{}, {"cpu": {}}])
def test_a_type_whose_pool_is_not_configured_is_a_problem(gpu: JobType, settings: Any, remaining: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": remaining}
    level, code, facts = findings()["pool gpu"]
    assert (level, code, facts["types"]) == ("PROBLEM", "unknown_pool", gpu.pk)
    answer = call("jobs_check")
    assert (answer.code, answer.reason, "PROBLEM  pool gpu: " in answer.out) == (1, "problems", True)


# -- jobs_status


def test_the_status_shows_the_depths_of_each_pool(gpu: JobType, organization: Organization) -> None:
    submit_job(gpu, organization)
    submit_job(make_job_type(), organization, priority="Low")
    verbs.dispatch()
    rows = [line.split() for line in run("jobs_status").splitlines()]
    assert ["default", "Low", "0", "0", "1", "0", "1"] in rows
    assert ["gpu", "Normal", "0", "0", "1", "0", "1"] in rows


def test_the_status_shows_what_waits_for_a_pool_that_is_not_configured(
    gpu: JobType, organization: Organization, settings: Any
) -> None:
    submit_job(gpu, organization)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {}}
    verbs.forget_pools()
    assert ["gpu", "Normal", "1", "0", "0", "0", "0"] in [line.split() for line in run("jobs_status").splitlines()]


# -- jobs_worker


def test_a_pool_stands_for_its_queues(gpu: JobType) -> None:
    assert verbs.queues_of_options([], "gpu") == tuple(queue_names("gpu"))
    assert verbs.queues_of_options([], "default") == ()
    assert verbs.queues_of_options(["jobs-gpu-low,jobs-high"], "default") == ("jobs-gpu-low", "jobs-high")
    assert verbs.queues_of_options(["jobs-high"], "gpu") == ("jobs-high",)


def test_an_unknown_pool_is_refused_with_those_that_there_are(gpu: JobType) -> None:
    with pytest.raises(CommandError, match=r"^--pool: .*'tpu'.* default, gpu") as caught:
        call_command("jobs_worker", "--pool", "tpu")
    assert verbs.code_of(caught.value.args[0]) == "unknown_pool"


def test_an_unknown_queue_is_refused_with_those_of_all_pools(gpu: JobType) -> None:
    with pytest.raises(CommandError, match=r"'x'.*jobs-low, jobs-gpu-critical") as caught:
        verbs.queues_of_options(["x"], "default")
    assert verbs.code_of(caught.value.args[0]) == "unknown_queue"


def test_the_greeting_names_the_pool() -> None:
    wanted = WorkerOptions(queues=("jobs-gpu-high",), pool="gpu")
    assert all(part in jobs_worker._greeting(wanted) for part in (" 2 ", " gpu,", "jobs-gpu-high"))


def test_options_reach_a_child_with_their_pool() -> None:
    wanted = WorkerOptions(queues=("jobs-gpu-high",), pool="gpu")
    assert WorkerOptions.from_json(wanted.to_json()) == wanted


@pytest.mark.parametrize(("pool", "begin"), [("gpu", "gpu@web1-"), ("default", "web1-")])
def test_the_names_of_a_pools_workers_begin_with_it(interpose: Interpose, pool: str, begin: str) -> None:
    interpose("start_fresh", lambda *_: None)
    child = ChildProcess("web1", WorkerOptions(pool=pool))
    assert child.name.startswith(begin)
    child.close()
