"""What the demo writes to the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from django.conf import settings
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from django_jobs import JobStatus, Status
from django_jobs.models import Job
from example_project.demo.services import log_file
from example_project.shop.catalog import SHOPS, Shop
from example_project.shop.providers import SERVICES, outage
from example_project.shop.seeding import DEMO_PASSWORD, SUPERUSER

# Plain words only: highlighting would color half of every line. Paths stay whole, to be copied.
_console = Console(highlight=False, soft_wrap=True, markup=False)


def say(text: str) -> None:
    _console.print(text)


@contextmanager
def progress_bar(job_id: str) -> Iterator[Callable[[JobStatus], None]]:
    """Yield a function that shows how far the job is, in one line."""
    with Progress(console=_console) as progress:
        task = progress.add_task(job_id, total=100)
        yield lambda status: progress.update(
            task, completed=status.progress, description=f"{job_id}: {status.progress_message or status.status}"
        )


@contextmanager
def summary() -> Iterator[Callable[[Mapping[str, int]], None]]:
    """Yield a function that counts the jobs in a line at the bottom; without a terminal it shows nothing."""
    with _console.status("") as line:

        def show(counts: Mapping[str, int]) -> None:
            parts = [f"{counts[name]:,} {name}" for name in Status.values if counts[name]]
            line.update(f"{' · '.join(parts)}   (Ctrl+C stops everything)")

        yield show


def show_invoices(done: Mapping[tuple[str, str], int]) -> None:
    """Show how often each invoice was charged, booked and mailed."""
    table = Table("Invoice", "Charged", "Booked", "Mailed")
    for invoice in sorted({invoice for _, invoice in done}):
        counts = [done[service, invoice] for service in SERVICES]
        table.add_row(invoice, *("once" if count == 1 else f"{count} TIMES" for count in counts))
    _console.print(table)


def list_samples(shop: Shop, jobs: Mapping[str, Job]) -> None:
    """List the jobs that were submitted for a shop, and what each of them shows."""
    lines = "\n".join(f"  {job.name}  {job.job_type_id:<20}{what}" for what, job in jobs.items())
    say(f"Submitted for {shop.title}, by {shop.member}:\n{lines}\n")


def welcome(port: int, job_id: str) -> None:
    site = f"http://127.0.0.1:{port}"
    accounts = "\n".join(
        f"  {shop.member:<8} member of {shop.organization} ({shop.title})\n"
        f"  {shop.admin:<8} admin of {shop.organization}"
        for shop in SHOPS
    )
    code = f"from django_jobs import submit_job; print(submit_job('pdf_generation', '{SHOPS[1].organization}').name)"
    # Whoever set a URL with a password has it in the environment and does not need it on the screen.
    reach = "" if "@" in settings.REDIS_URL else f"REDIS_URL={settings.REDIS_URL} "
    say(f"""
The demo is running.

  {site}/            start a report, statements or a publication, watch the jobs of your organization live
  {site}/admin/      what is wrong and what failed, the monitor, jobs, job types, workers, the shop
  {site}/api/        the REST API; {site}/api/docs/ describes it
  {site}/django-rq/  RQ's own view of queues and workers

The password of every account is {DEMO_PASSWORD}:
{accounts}
  {SUPERUSER:<8} superuser: the admin, and the jobs of every organization

{job_id} makes the report of a whole year. What to try next:

  - Log in as {SHOPS[0].member} here and as {SHOPS[0].admin} in a private window: each sees the other's jobs move, and
    {SHOPS[1].member} of {SHOPS[1].title} sees none of them.
  - Cancel the publication of the catalog while it runs: it takes half a minute. The page starts another one.
  - Let the marketplace be down, publish some more, and see them wait for the breaker of their type instead of failing:
    touch {outage()}, and delete that file later.
  - Open {job_id} in the admin: its status, its result, its execution log.
  - Look at the nightly report among the schedules in the admin: see when it fires, or fire it now.
  - Submit a job of your own from a second terminal:
    {reach}python manage.py shell -c "{code}"
  - Kill one of the worker's processes while a job runs, and see the job run again. The invoice run goes on where it
    was: its page in the admin has its steps. "python manage.py demo --kill" does that for you, six times.
  - Look at the mails that the jobs send: {settings.MAIL_DIR}

What worker and web server log is in {log_file("worker")} and {log_file("web").name}.
Ctrl+C stops everything.
""")
