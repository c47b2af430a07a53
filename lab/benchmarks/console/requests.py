"""What is asked of the console, as whole requests of a browser, and what each costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import psutil
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Count
from django.test import Client
from django.urls import reverse

from django_jobs.models import Job, Organization
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, Status
from lab.benchmarks.console import stage
from tests.support import verbs

COMMON_TYPE: Final = "type_00"
LIST: Final = "django_jobs_job_changelist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One request.

    With ``is_cached``, what processes remember of alarms, numbers and bounds is left to them. Else only the bounds are:
    where the newest jobs begin. With ``is_first``, not even these.
    """

    name: str
    address: str
    is_cached: bool = False
    is_first: bool = False


class Figures(NamedTuple):
    """Milliseconds at the median, at the 95th percentile, and of CPU (ours and the database's); statements."""

    median: float
    worst: float
    cpu: float
    statements: int

    def __str__(self) -> str:
        return f"{self.median:7.1f} {self.worst:7.1f} {self.cpu:7.1f} {self.statements:4}"


def pages() -> Iterator[Page]:
    """Yield what is measured, the same for everybody. All of it has something to show."""
    yield Page(name="index, alarms read", address=_address("index"))
    yield Page(name="index, alarms remembered", address=_address("index"), is_cached=True)
    yield Page(name="alarms", address=_address("django_jobs_alert_changelist"))
    for key in ("five", "hour", "day", "week", "month"):
        yield Page(name=f"monitor, {key}", address=_address("django_jobs_monitor_changelist", range=key))
    yield Page(name="failures", address=_address("django_jobs_failure_changelist"))
    job = _commonest_failure()
    group = {"job_type": job.job_type_id, "error_fingerprint": job.error_fingerprint}
    yield Page(name="failures, one group", address=_address("django_jobs_failure_group", **group))
    for name, query in _lists(job).items():
        yield Page(name=f"jobs, {name}", address=_address(LIST, **query))
    yield Page(name="jobs, search type, first look", address=_address(LIST, q=COMMON_TYPE), is_first=True)


def _lists(failed: Job) -> dict[str, dict[str, Any]]:
    large = Organization.objects.get(name=stage.LARGE)
    middle = Job.objects.filter(organization=large).order_by("-pk")[2_000]
    return {
        "all": {},
        "search type": {"q": COMMON_TYPE},
        "search beginning of types": {"q": "type_1"},
        "search number": {"q": str(middle.pk)},
        "search organization id": {"q": large.name},
        "search organization title": {"q": "Customer 000"},
        "search user": {"q": "scale-7"},
        "search parameter": {"q": "customer_id:17"},
        "search parameter, organization": {"q": "customer_id:17 type:" + COMMON_TYPE, "organization": large.name},
        "search nested parameter": {"q": "mail.language:de"},
        "search fingerprint": {"q": failed.error_fingerprint},
        "search fingerprint's beginning": {"q": failed.error_fingerprint[:8]},
        "search worker": {"q": stage.WORKER},
        "search words": {"q": "did not answer"},
        "search words that are nowhere": {"q": "no such words"},
        "Completed": {"status": Status.COMPLETED},
        "Failed": {"status": Status.FAILED},
        "Dead Letter": {"status": Status.DEAD_LETTER},
        "Pending": {"status": Status.PENDING},
        "Failed (all)": {"status": sorted(WITH_ERRORS)},
        "Failed (all), organization": {"status": sorted(WITH_ERRORS), "organization": large.name},
        "retrying": {"status": sorted(AWAITING_RETRY)},
        "has error": {"has_error": "yes"},
        "has no error": {"has_error": "no"},
        "common type": {"job_type": COMMON_TYPE},
        "rare type": {"job_type": "type_49"},
        "common type, Completed": {"job_type": COMMON_TYPE, "status": Status.COMPLETED},
        "common type, has error": {"job_type": COMMON_TYPE, "has_error": "yes"},
        "organization": {"organization": large.name},
        "priority High": {"priority": "2"},
        "created within 30 days": {"created_after": "30d"},
        "created within a day": {"created_after": "24h"},
        "deep page": {"p": "90"},
        "deep page, Completed": {"p": "90", "status": Status.COMPLETED},
    }


def _commonest_failure() -> Job:
    rows = Job.objects.filter(status__in=WITH_ERRORS, organization__name=stage.LARGE).order_by()
    groups = (
        rows.values_list("job_type", "error_fingerprint").annotate(total=Count("pk")).order_by("-total", "job_type")
    )
    job_type, fingerprint, _ = groups[0]
    return rows.filter(job_type=job_type, error_fingerprint=fingerprint)[0]


def _address(name: str, **query: Any) -> str:
    return f"{reverse(f'admin:{name}')}?{urlencode(query, doseq=True)}"


class Browser:
    """Asks as one user, and measures."""

    def __init__(self, username: str) -> None:
        self._client = Client(HTTP_HOST="127.0.0.1")
        self._client.force_login(User.objects.get(username=username))
        self._clocks = _clocks()

    def measure(self, page: Page, times: int) -> Figures:
        """Ask so many times, and once before, so that all have what they need in memory."""
        stage.keep_alive()
        self._ask(page)
        cpu = self._clocks()
        took = [self._ask(page) for _ in range(times)]
        cpu = (self._clocks() - cpu) / times
        took.sort()
        worst = took[min(times - 1, int(times * 0.95))]
        return Figures(statistics.median(took) * 1_000, worst * 1_000, cpu * 1_000, self._statements(page))

    def _ask(self, page: Page) -> float:
        if not page.is_cached:
            verbs.forget_alerts()
            verbs.forget_navigation_counts()
        if page.is_first:
            verbs.forget_newest_jobs()
        started = time.perf_counter()
        response = self._client.get(page.address)
        took = time.perf_counter() - started
        if response.status_code != 200:
            raise RuntimeError(f"{page.address} answered {response.status_code}")
        return took

    def _statements(self, page: Page) -> int:
        found = 0

        def count(execute: Callable[..., Any], *args: Any) -> Any:
            nonlocal found
            found += 1
            return execute(*args)

        with connection.execute_wrapper(count):
            self._ask(page)
        return found


def _clocks() -> Callable[[], float]:
    """Return what tells the seconds of CPU of this process and, on this machine, of the database's for it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    try:
        server = psutil.Process(pid)
        is_ours = server.name().startswith("postgres")
    except psutil.NoSuchProcess:
        is_ours = False
    if not is_ours:
        return time.process_time
    return lambda: time.process_time() + sum(server.cpu_times()[:2])
