"""The two database backends of Django's own tasks: django-tasks-db and django-ox."""

from __future__ import annotations

from typing import ClassVar

from lab.benchmarks.peers.adapters.peer import use_django

use_django()

from django.core.management import call_command
from django.tasks import task

from lab.benchmarks.peers import work as works
from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import Peer, django_command


@task
def nothing() -> None:
    works.nothing()


@task
def wait() -> None:
    works.wait()


@task
def tell(submitted: float, port: int) -> None:
    works.tell(submitted, port)


TASKS = {"nothing": nothing, "wait": wait}


class DjangoTasksDB(Peer):
    """Two workers, which take one task after the other and ask once a second when there is none."""

    packages: ClassVar = ("django-tasks-db", "django", "psycopg")
    has_bulk: ClassVar = False
    has_slots: ClassVar = False
    table: ClassVar = "django_tasks_database_dbtaskresult"

    def install(self) -> None:
        call_command("migrate", verbosity=0)

    def reset(self) -> None:
        servers.run_sql(f"TRUNCATE {self.table} CASCADE")

    def submit(self, jobs: int) -> None:
        for _ in range(jobs):
            nothing.enqueue()

    def fill(self, work: str, jobs: int) -> None:
        for _ in range(jobs):
            TASKS[work].enqueue()

    def submit_tell(self, submitted: float, port: int) -> None:
        tell.enqueue(submitted, port)

    def left(self) -> int:
        return servers.count(f"SELECT count(*) FROM {self.table} WHERE status IN ('READY', 'RUNNING')")

    def commands(self, *, fifty: bool) -> list[list[str]]:
        worker = django_command("db_worker", "--verbosity=0")
        return [worker, worker]


class DjangoOx(DjangoTasksDB):
    """One supervisor with two workers, which also ask once a second."""

    packages: ClassVar = ("django-ox", "django", "psycopg")
    has_bulk: ClassVar = True
    has_slots: ClassVar = True
    table: ClassVar = "django_ox_oxtask"

    def fill(self, work: str, jobs: int) -> None:
        from django_ox.bulk import enqueue_many

        enqueue_many(TASKS[work], [((), {})] * jobs)

    def commands(self, *, fifty: bool) -> list[list[str]]:
        worker = django_command("ox_worker", "--verbosity=0", "--processes=2", f"--concurrency={50 if fifty else 1}")
        # A connection for each of a hundred threads is more than PostgreSQL gives: these share a pool.
        return [["env", "PEERS_POOL=30", *worker] if fifty else worker]
