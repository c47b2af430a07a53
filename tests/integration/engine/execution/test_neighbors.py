"""What is left of workers of this machine that were killed together with their supervisors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from django_jobs import get_job_history
from django_jobs.models import Job, Worker
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, reread, running_job
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Neighbors

pytestmark = [
    pytest.mark.usefixtures("broker"),
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows"),
]


@pytest.fixture
def dead() -> str:
    """A process that was there."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return verbs.describe_process(process.pid)


@pytest.fixture
def begun() -> Job:
    """A job of the worker, whose handler had run for a moment."""
    job, claimed = running_job()
    verbs.note_begun([(claimed.pk, claimed.attempt)], [WORKER])
    verbs.announce_worker(WORKER, ["jobs-normal"], slots=1)
    return job


def test_attempts_of_a_worker_that_is_gone_end_at_once_as_lost_and_run_again(
    begun: Job, dead: str, broker: MemoryBroker, reasons: Reasons
) -> None:
    Worker.objects.update(processes=dead, pid=7)
    unseen, _ = running_job()
    assert Neighbors().end_what_is_gone() == 2
    assert [(job.status, job.attempt, job.retry_count) for job in (reread(begun), reread(unseen))] == [
        ("Queued", 1, 1),
        ("Queued", 1, 0),
    ]
    assert (reasons(begun), reasons(unseen)) == (["worker_lost"], ["unseen"])
    assert any("process 7" in row["message"] for row in get_job_history(begun))
    assert begun.pk in broker.pks()
    assert not Worker.objects.exists()


@pytest.mark.parametrize("why", ["it lives", "its supervisor lives", "its child lives", "elsewhere", "unknown"])
def test_a_worker_that_may_live_is_left_alone(begun: Job, dead: str, why: str) -> None:
    mine = verbs.describe_process(os.getpid())
    place = verbs.place_of_process()
    values = {
        "it lives": (place, mine),
        "its supervisor lives": (place, f"{dead} {mine}"),
        "its child lives": (place, f"{mine} {dead}"),
        "elsewhere": (place.replace("pid:", "pid:1"), dead),
        "unknown": ("", ""),
    }
    Worker.objects.update(**dict(zip(("place", "processes"), values[why], strict=True)))
    assert Neighbors().end_what_is_gone() == 0
    assert reread(begun).status == "Running"
    assert Worker.objects.exists()


def test_a_worker_announces_itself_and_its_supervisor() -> None:
    verbs.announce_worker(WORKER, ["jobs-normal"], slots=1, supervisor_pid=os.getppid())
    row = Worker.objects.get()
    assert (row.place, row.processes) == (verbs.place_of_process(), verbs.describe_process(os.getpid(), os.getppid()))
    assert len(row.processes.split()) == 2


def test_what_could_not_be_ended_is_ended_at_the_next_look(
    begun: Job, dead: str, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    Worker.objects.update(processes=dead)
    neighbors = Neighbors()
    with monkeypatch.context() as patch:  # its row is in use
        Interpose(patch)("end", lambda *_: [])
        assert neighbors.end_what_is_gone() == 0
    assert Worker.objects.exists()
    tuning.set(neighbor_pause_seconds=0.0)
    assert (neighbors.end_what_is_gone(), Neighbors().end_what_is_gone()) == (0, 1)
