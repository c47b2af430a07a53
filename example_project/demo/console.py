"""What the demo says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from example_project.shop.catalog import SHOPS
from example_project.shop.seeding import DEMO_PASSWORD, SUPERUSER

if TYPE_CHECKING:
    from django_jobs import JobStatus

# Plain words only: highlighting would color half of every line. Paths stay whole, to be copied.
_console = Console(highlight=False, soft_wrap=True, markup=False)


def say(text: str) -> None:
    _console.print(text)


@contextmanager
def progress_bar(job_id: str) -> Iterator[JobProgress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[message]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_console) as progress:
        yield JobProgress(progress, job_id)


class JobProgress:
    """The line that follows one job."""

    def __init__(self, progress: Progress, job_id: str) -> None:
        self._progress = progress
        self._task = progress.add_task(job_id, total=100, message="")

    def show(self, status: JobStatus) -> None:
        message = status.progress_message or status.status
        self._progress.update(self._task, completed=status.progress, message=message)


def welcome(port: int, job_id: str) -> None:
    site = f"http://127.0.0.1:{port}"
    accounts = "\n".join(
        f"  {shop.member:<8} member of {shop.organization} ({shop.title})\n"
        f"  {shop.admin:<8} admin of {shop.organization}"
        for shop in SHOPS
    )
    say(f"""
The demo is running.

  {site}/admin/      jobs, job types, execution logs, the shop
  {site}/django-rq/  RQ's own view of queues and workers

Log in as {SUPERUSER}, password {DEMO_PASSWORD}. The other accounts have the same password:
{accounts}

{job_id} is making a PDF right now. What to try next:

  - Open {job_id} in the admin: its status, its progress, its execution log.
  - Submit one yourself, in a second terminal. manage.py shell does not reach an embedded Valkey
    unless REDIS_URL is set as below; the job would wait until the next scheduler tick.
  - Kill one of the worker's processes while a job runs: its job runs again.

Ctrl+C stops everything.
""")
