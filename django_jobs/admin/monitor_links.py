"""The addresses of the lists that show what the monitor counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from django_jobs.admin.job_filters import RETRYING
from django_jobs.admin.log_filters import FAILURES
from django_jobs.admin.monitor_range import Range
from django_jobs.statuses import Status


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses in the admin site of this name. A host may have several sites, and some without our pages."""

    site: str

    def page(self, name: str, *args: Any) -> str:
        """Return the address of one of the site's pages, such as ``django_jobs_job_change``."""
        return reverse(f"{self.site}:{name}", args=[quote(arg) for arg in args])

    def running(self) -> str:
        """Return the address of the list of running jobs."""
        return self._list("job", {"status": str(Status.RUNNING)})

    def retrying(self) -> str:
        """Return the address of the list of jobs that await a retry."""
        return self._list("job", {"status": RETRYING})

    def jobs_of_type(self, job_type: str) -> str:
        """Return the address of the list of this type's jobs."""
        return self._list("job", {"type": job_type})

    def jobs_of_organization(self, pk: Any) -> str:
        """Return the address of the list of this organization's jobs."""
        return self._list("job", {"organization": pk})

    def job_type(self, name: str) -> str:
        """Return the address of a job type's page; empty where this site has none."""
        return self._page_if_any("django_jobs_jobtype_change", name)

    def close_breaker(self, name: str) -> str:
        """Return the address of the page that closes the breaker of a job type; empty where this site has none."""
        return self._page_if_any("django_jobs_jobtype_close_breaker", name)

    def batch(self, pk: int) -> str:
        """Return the address of a batch's page; empty where this site has none."""
        return self._page_if_any("django_jobs_batch_change", pk)

    def jobs_of_batch(self, batch_id: str, status: str = "", job_type: str = "") -> str:
        """Return the address of the list of a batch's jobs, of those in one status and of one type if given."""
        query = {"batch": batch_id, "status": status, "type": job_type}
        return self._list("job", {name: value for name, value in query.items() if value})

    def faulty_schedules(self) -> str:
        """Return the address of the list of schedules that cannot fire; empty where this site has none."""
        try:
            return self._list("schedule", {"state": "faulty"})
        except NoReverseMatch:
            return ""

    def dead_letters(self) -> str:
        """Return the address of the groups of dead letters."""
        return self._list("deadletter", {})

    def failures(self, chosen: Range, job_type: str = "") -> str:
        """Return the address of the log rows that the monitor counts as failures of this time and, if given, of this
        type.
        """
        query = {"became": FAILURES, "since": chosen.key}
        return self._list("executionlog", query | ({"type": job_type} if job_type else {}))

    def _page_if_any(self, name: str, *args: Any) -> str:
        try:
            return self.page(name, *args)
        except NoReverseMatch:
            return ""

    def _list(self, model: str, query: dict[str, Any]) -> str:
        address = self.page(f"django_jobs_{model}_changelist")
        return f"{address}?{urlencode(query)}" if query else address
