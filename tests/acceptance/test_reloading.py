"""`jobs_worker --reload`: a change starts it anew, and one that does not load is told and waited out."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from django_jobs.models import JobType
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, assert_stays, wait_for_status
from tests.support.factories import make_job_type
from tests.support.waiting import wait_until
from tests.support.worker_children import inherited_sockets
from tests.support.workers import MANAGE_PY, ManagedProcess, ProcessPool

SETTINGS: Final = """
from tests.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "workshop"]
ROOT_URLCONF = "workshop.urls"
"""
FILES: Final = {
    "__init__.py": "",
    "jobs.py": "import os\ndef work(context):\n    return {'word': 'old', 'pid': os.getpid()}\n",
    "models.py": "NUMBER = 1\n",
    "urls.py": "from tests.urls import urlpatterns\n",
    "settings.py": SETTINGS,
}


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Path]:
    """An app of its own, whose files may be broken."""
    folder = tmp_path / "project" / "workshop"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    yield folder
    shutil.rmtree(folder)


def start(processes: ProcessPool, workshop: Path) -> ManagedProcess:
    path = os.pathsep.join([str(workshop.parent), str(MANAGE_PY.parent)])
    environ = {"DJANGO_SETTINGS_MODULE": "workshop.settings", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    worker = processes.worker("--processes", "1", "--reload", environ=environ)
    worker.wait_for_log("event=child_started", 2 * PATIENCE)
    wait_until(worker.children, PATIENCE, "a child")
    return worker


def change(file: Path, text: str) -> None:
    """Write it with a newer time than before, as an editor does a moment later."""
    newer = file.stat().st_mtime + 2
    file.write_text(text)
    os.utime(file, (newer, newer))


def wait_for_news(worker: ManagedProcess, since: int, text: str) -> None:
    """Until the text stands in the log behind so many characters."""
    wait_until(lambda: text in worker.log()[since:], 2 * PATIENCE, f"{text!r} in the log")


def wait_for_word(stage: Stage, kind: JobType, word: str) -> None:
    """Until a job's code is that which returns this word."""

    def runs_it() -> bool:
        return bool(wait_for_status(stage.submit(kind), Status.COMPLETED).result["word"] == word)

    wait_until(runs_it, PATIENCE, f"the code of {word!r}")


def test_a_file_that_does_not_load_is_told_and_waited_out_and_the_next_change_starts_it_anew(
    processes: ProcessPool, stage: Stage, workshop: Path
) -> None:
    kind = make_job_type()
    kind.handler_method = "workshop.jobs.work"
    kind.save()
    worker = start(processes, workshop)
    word = "old"
    wait_for_word(stage, kind, word)
    # The first is loaded by the checks alone, the second by whatever starts.
    for name in ("urls.py", "jobs.py"):
        since = len(worker.log())
        change(workshop / name, "def work(:\n")
        wait_for_news(worker, since, "waiting for the next change")
        assert "SyntaxError" in worker.log()[since:]
        result = wait_for_status(stage.submit(kind), Status.COMPLETED).result
        assert result["word"] == word
        os.kill(result["pid"], signal.SIGKILL)
        wait_for_news(worker, since, "event=child_ended")
        # One that could not start does not take its place.
        waiting = stage.submit(kind)
        assert_stays(waiting, {Status.PENDING, Status.QUEUED}, 1)

        word = f"new since {name}"
        jobs = FILES["jobs.py"].replace("old", word)
        if name != "jobs.py":
            (workshop / "jobs.py").write_text(jobs)
        change(workshop / name, jobs if name == "jobs.py" else FILES[name] + "\n")
        wait_for_news(worker, since, "event=supervisor_started")
        wait_for_word(stage, kind, word)
        wait_for_status(waiting, Status.COMPLETED)
    assert "event=worker_failed" not in worker.log()
    wait_until(worker.children, 2 * PATIENCE, "a child of it")
    assert inherited_sockets(psutil.Process(worker.pid)) == 0  # also none of the supervisor before
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    assert worker.stop() == 0
