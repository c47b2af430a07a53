"""django-q2 with its default broker, Redis; outcomes are rows of the database."""

from __future__ import annotations

from typing import ClassVar

from lab.benchmarks.peers.adapters.peer import use_django

use_django()

from django.core.management import call_command
from django_q.tasks import async_task

from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import Peer, django_command


class DjangoQ2(Peer):
    """One cluster of two workers, beside its pusher, monitor and guard."""

    packages: ClassVar = ("django-q2", "django", "psycopg", "redis", "hiredis")
    has_bulk: ClassVar = False
    has_slots: ClassVar = False

    def install(self) -> None:
        call_command("migrate", verbosity=0)

    def reset(self) -> None:
        servers.redis().flushdb()
        servers.run_sql("TRUNCATE django_q_task")
        self.submitted = 0

    def submit(self, jobs: int) -> None:
        self.fill("nothing", jobs)

    def fill(self, work: str, jobs: int) -> None:
        function = f"lab.benchmarks.peers.work.{work}"
        for _ in range(jobs):
            async_task(function)
        self.submitted += jobs

    def submit_tell(self, submitted: float, port: int) -> None:
        async_task("lab.benchmarks.peers.work.tell", submitted, port)

    def left(self) -> int:
        return self.submitted - servers.count("SELECT count(*) FROM django_q_task")

    def commands(self, *, fifty: bool) -> list[list[str]]:
        return [django_command("qcluster")]
