"""django_jobs itself: one job at a time in each of two children, and fifty with the waits as coroutines."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from lab.benchmarks.peers.adapters.peer import use_django

use_django()

from django.core.management import call_command

from django_jobs import submit_job, submit_jobs
from django_jobs.models import Job
from django_jobs.statuses import UNFINISHED
from lab.benchmarks import setting
from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import WAIT, Peer, django_command

UNFINISHED_IN_SQL: Final = ", ".join(f"'{status.value}'" for status in sorted(UNFINISHED))


class DjangoJobs(Peer):
    """Functions: in the child's one slot, or in fifty threads."""

    packages: ClassVar = ("django-durable-jobs", "django", "psycopg", "rq", "redis", "hiredis")
    suffix_of_waits: ClassVar = ""
    slots: ClassVar = 1

    def install(self) -> None:
        call_command("migrate", verbosity=0)

    def reset(self) -> None:
        self.names = [organization.name for organization in setting.reset()]

    def submit(self, jobs: int) -> None:
        for number in range(jobs):
            submit_job("nothing", self.names[number % len(self.names)], {"number": number})

    def fill(self, work: str, jobs: int) -> None:
        job_type = work + self.suffix_of_waits if work == WAIT else work
        names = self.names
        items: list[dict[str, Any]] = [
            {"job_type": job_type, "organization": names[number % len(names)], "parameters": {"number": number}}
            for number in range(jobs)
        ]
        submit_jobs(items)

    def submit_tell(self, submitted: float, port: int) -> None:
        submit_job("tell", self.names[0], {"submitted": submitted, "port": port})

    def left(self) -> int:
        return servers.count(f"SELECT count(*) FROM {Job._meta.db_table} WHERE status IN ({UNFINISHED_IN_SQL})")

    def commands(self, *, fifty: bool) -> list[list[str]]:
        return [django_command("jobs_worker", "--processes=2", f"--threads={50 if fifty else self.slots}")]


class DjangoJobs50(DjangoJobs):
    """Fifty slots in each child whatever it does, and coroutines for what waits."""

    suffix_of_waits: ClassVar = "_async"
    slots: ClassVar = 50
