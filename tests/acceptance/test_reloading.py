"""`jobs_worker --reload`: a change starts it anew, and one that does not load is told and waited out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, wait_for_status
from tests.support.factories import make_job_type
from tests.support.waiting import wait_until
from tests.support.workers import MANAGE_PY, ManagedProcess, ProcessPool

pytestmark = pytest.mark.any_database

SETTINGS: Final = """
from tests.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "workshop"]
ROOT_URLCONF = "workshop.urls"
"""
FILES: Final = {
    "__init__.py": "",
    "jobs.py": "def work(context):\n    return {'word': 'old'}\n",
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


@pytest.mark.parametrize("name", ["jobs.py", "models.py", "urls.py", "settings.py"])
def test_a_syntax_error_is_told_and_the_next_change_starts_it_anew(
    processes: ProcessPool, stage: Stage, workshop: Path, name: str
) -> None:
    kind = make_job_type()
    kind.handler_method = "workshop.jobs.work"
    kind.save()
    worker = start(processes, workshop)
    assert wait_for_status(stage.submit(kind), Status.COMPLETED).result == {"word": "old"}

    change(workshop / name, "def work(:\n")
    worker.wait_for_log("waiting for the next change", 2 * PATIENCE)
    assert "SyntaxError" in worker.log()
    assert wait_for_status(stage.submit(kind), Status.COMPLETED).result == {"word": "old"}

    (workshop / "jobs.py").write_text("def work(context):\n    return {'word': 'new'}\n")
    change(workshop / name, (workshop / "jobs.py").read_text() if name == "jobs.py" else FILES[name] + "\n")
    wait_until(lambda: worker.log().count("event=supervisor_started") == 2, 2 * PATIENCE, "a fresh supervisor")

    def runs_new_code() -> bool:
        return bool(wait_for_status(stage.submit(kind), Status.COMPLETED).result == {"word": "new"})

    wait_until(runs_new_code, PATIENCE, "the new code")
    assert worker.stop() == 0


def test_a_child_that_dies_meanwhile_is_not_replaced_by_one_that_cannot_start(
    processes: ProcessPool, stage: Stage, workshop: Path
) -> None:
    worker = start(processes, workshop)
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    change(workshop / "models.py", "def (:\n")
    worker.wait_for_log("waiting for the next change", 2 * PATIENCE)
    (child,) = worker.children()
    child.kill()
    worker.wait_for_log("event=child_ended")
    change(workshop / "models.py", FILES["models.py"])
    wait_until(lambda: worker.log().count("event=supervisor_started") == 2, 2 * PATIENCE, "a fresh supervisor")
    assert "event=worker_failed" not in worker.log()
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
