"""How much memory a worker's child has, in a bare project and in the demo, each on a database and Redis of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.valkey import EmbeddedValkey
from tests.support.workers import ManagedProcess, ProcessPool, process_environ

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares a server's memory among children"),
    pytest.mark.slots("one", reason="a bare worker has one slot"),
]

MEGABYTE: Final = 1_048_576
#: What a process holds by `ps`. A bare child has 55 to 60 after its first jobs, one of the demo 61 to 65.
BARE_MEGABYTES: Final = 64
DEMO_MEGABYTES: Final = 70
#: What it shares with nobody else: that is what one child more costs. It is 19 to 24.
OWN_MEGABYTES: Final = 28
READY: Final = "The tables are there."
TENANT: Final = f"""
import django_jobs
from django.core.management import call_command
call_command("migrate", verbosity=0)
print("{READY}", flush=True)
tenant, _ = django_jobs.get_organization_model().objects.get_or_create(name="Lean")
"""


class Project:
    """A project of its own, run by this repository's ``manage.py``."""

    def __init__(self, settings: str, directory: Path, redis_url: str, processes: ProcessPool) -> None:
        self._directory, self._processes = directory, processes
        places = {"DATABASE_URL": f"sqlite:///{directory / 'lean.sqlite3'}", "REDIS_URL": redis_url}
        self._environ = process_environ({}, {"DJANGO_SETTINGS_MODULE": settings, **places})

    def start(self, *arguments: str) -> ManagedProcess:
        process = ManagedProcess(arguments, self._directory / f"{arguments[0]}.log", self._environ)
        self._processes.processes.append(process)
        return process

    def run_beside_worker(self, code: str) -> tuple[str, ManagedProcess]:
        """What the code says, which makes the tables first, and the worker that is started once they are there."""
        shell = self.start("shell", "-c", code)
        shell.wait_for_log(READY, 60)
        worker = self.start("jobs_worker", "--processes", "1")
        assert shell.wait(60) == 0, shell.log()
        return shell.log(), worker


def megabytes(worker: ManagedProcess) -> tuple[int, int]:
    """What its child, which has run jobs, holds, and what of that is its own."""
    (child,) = worker.children()
    memory = child.memory_full_info()
    return memory.rss // MEGABYTE, memory.uss // MEGABYTE


def test_a_child_of_a_bare_project_runs_jobs_without_the_packages_of_the_doors_and_stays_small(
    tmp_path: Path, own_valkey: EmbeddedValkey, processes: ProcessPool
) -> None:
    project = Project("tests.bare.settings", tmp_path, own_valkey.url, processes)
    code = f"""{TENANT}
done = django_jobs.submit_job("nothing", tenant)
refused = django_jobs.submit_job("refused", tenant)
print(django_jobs.wait_for_job(done, 30).status)
try:
    django_jobs.wait_for_job(refused, 30)
except Exception as error:
    print(error.status.status, error.status.error_message)
imported = django_jobs.submit_job("imported", tenant)
print("imported", django_jobs.wait_for_job(imported, 30).result["ours"])
"""
    said, worker = project.run_beside_worker(code)
    assert "Completed" in said
    assert "Dead Letter ValueError" in said
    assert "imported []" in said  # else each child would have a copy of its own
    held, own = megabytes(worker)
    assert held < BARE_MEGABYTES
    assert own < OWN_MEGABYTES


def test_a_child_of_the_demo_stays_small(tmp_path: Path, own_valkey: EmbeddedValkey, processes: ProcessPool) -> None:
    project = Project("tests.bare.demo_settings", tmp_path, own_valkey.url, processes)
    code = 'print(django_jobs.wait_for_job(django_jobs.submit_job("catalog_publish", tenant), 30).status)'
    said, worker = project.run_beside_worker(TENANT + code)
    assert "Completed" in said
    held, own = megabytes(worker)
    assert held < DEMO_MEGABYTES
    assert own < OWN_MEGABYTES
