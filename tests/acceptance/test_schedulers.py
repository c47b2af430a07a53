"""Several schedulers at once, for real: one leads, and another follows it."""

from __future__ import annotations

import signal

import psutil

from django_jobs.models import EngineLease
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, freeze, path_of, wait_for_all, wait_for_status
from tests.support import verbs
from tests.support.factories import make_job_type
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool


def leader() -> str:
    return EngineLease.objects.filter(pk="scheduler").values_list("holder", flat=True).first() or ""


def test_of_two_schedulers_one_leads_and_the_other_follows_at_once_when_it_leaves(
    processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("fail_until_attempt", retry_delay=1)
    processes.worker("--no-scheduler", "--processes", "1")
    schedulers = [processes.start("jobs_scheduler") for _ in range(2)]
    first = wait_until(leader, PATIENCE, "a leader")
    jobs = [stage.submit(kind, succeeds_at=2) for _ in range(10)]
    wait_for_all(jobs)
    assert leader() == first
    assert [path_of(job).count(Status.QUEUED) for job in jobs] == [2] * 10

    schedulers[0].stop()
    wait_for_status(stage.submit(kind, succeeds_at=2), Status.COMPLETED)
    assert schedulers[1].is_running()
    assert leader()


def test_a_frozen_leader_is_followed_and_two_that_act_at_once_do_no_harm(processes: ProcessPool, stage: Stage) -> None:
    kind = make_job_type("fail_until_attempt", retry_delay=1)
    processes.worker("--no-scheduler", "--processes", "1")
    frozen = processes.start("jobs_scheduler")
    first = wait_until(leader, PATIENCE, "a leader")

    freeze(psutil.Process(frozen.pid))
    EngineLease.objects.filter(pk="scheduler").update(expires_at=verbs.now())  # it lasts for ten seconds
    processes.start("jobs_scheduler")
    wait_until(lambda: leader() != first, PATIENCE, "another leader")
    frozen.popen.send_signal(signal.SIGCONT)
    jobs = [stage.submit(kind, succeeds_at=2) for _ in range(10)]

    wait_for_all(jobs)
    assert leader() not in {"", first}
    assert [path_of(job).count(Status.RUNNING) for job in jobs] == [2] * 10
