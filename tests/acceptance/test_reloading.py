"""`jobs_worker --reload`: a change starts it anew, and one that does not load is waited out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from django_jobs.models import JobType
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, assert_stays, wait_for_status
from tests.support.factories import make_job_type
from tests.support.waiting import wait_until
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


def test_a_change_starts_it_anew_and_a_file_that_does_not_load_is_waited_out(
    processes: ProcessPool, stage: Stage, workshop: Path
) -> None:
    kind = make_job_type()
    kind.handler_method = "workshop.jobs.work"
    kind.save()
    worker = start(processes, workshop)
    wait_for_word(stage, kind, "old")
    since = len(worker.log())
    # It is loaded by the checks alone.
    change(workshop / "urls.py", "def work(:\n")
    wait_for_news(worker, since, "SyntaxError")
    waiting = stage.submit(kind)
    assert_stays(waiting, {Status.PENDING, Status.QUEUED}, 1)
    (workshop / "jobs.py").write_text(FILES["jobs.py"].replace("old", "new"))
    change(workshop / "urls.py", FILES["urls.py"] + "\n")
    assert wait_for_status(waiting, Status.COMPLETED).result["word"] == "new"
    assert "event=worker_failed" not in worker.log()
    assert worker.stop() == 0
    assert not worker.children()


def test_a_change_lets_the_running_job_end(processes: ProcessPool, stage: Stage, workshop: Path) -> None:
    worker = start(processes, workshop)
    running = stage.submit(make_job_type("take_seconds"), seconds=3)
    wait_for_status(running, Status.RUNNING)
    change(workshop / "jobs.py", FILES["jobs.py"] + "\n")
    assert wait_for_status(running, Status.COMPLETED).attempt == 1
    assert worker.stop() == 0
