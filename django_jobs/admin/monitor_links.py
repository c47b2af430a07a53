"""The addresses of the lists that show what the monitor counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from django_jobs.admin.lookups import FAILED_ALL, FAILURES, RETRYING
from django_jobs.admin.monitor_range import Range
from django_jobs.models import get_organization_model
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

    def failed_jobs(self, **query: str) -> str:
        """Return the address of the list of the jobs that failed; empty where this site has none.

        ``query`` are further filters of that list.
        """
        return self._list_if_any("job", {"status": FAILED_ALL} | query)

    def retry_failed(self, **query: str) -> str:
        """Return the address of the page that asks before all of these are retried; empty where this site has none."""
        address = self._page_if_any("django_jobs_job_all_retry")
        return f"{address}?{urlencode({'status': FAILED_ALL} | query)}" if address else ""

    def jobs_of_organization(self, pk: Any, **query: Any) -> str:
        """Return the address of the list of this organization's jobs. ``query`` are further filters."""
        return self._list("job", {"organization": pk} | query)

    def jobs_of_owner(self, name: str) -> str:
        """Return the address of the list of the jobs that this user owns."""
        return self._list("job", {"owner": name})

    def jobs_of_worker(self, name: str) -> str:
        """Return the address of the list of the jobs that this worker had."""
        return self._list("job", {"worker": name})

    def jobs_of_operation(self, pk: int) -> str:
        """Return the address of the list of the jobs that an operation acted on last."""
        return self._list("job", {"operation": str(pk)})

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

    def types_of_pool(self, pool: str) -> str:
        """Return the address of the list of this pool's job types; empty where this site has none."""
        return self._list_if_any("jobtype", {"pool": pool})

    def alerts(self) -> str:
        """Return the address of the alarms; empty where this site has none."""
        return self._list_if_any("alert", {})

    def schedule(self, pk: int | None) -> str:
        """Return the address of a schedule's page; empty where this site has none."""
        return "" if pk is None else self._page_if_any("django_jobs_schedule_change", pk)

    def workers(self) -> str:
        """Return the address of the workers; empty where this site has none."""
        return self._list_if_any("worker", {})

    def failure_act(self) -> str:
        """Return the address that failures are acted on by; empty where this site has none."""
        return self._page_if_any("django_jobs_failure_act")

    def failures(self, job_type: str = "", **query: Any) -> str:
        """Return the address of the groups of failures, of this type if given; empty where this site has none.

        ``query`` are further filters.
        """
        return self._list_if_any("failure", ({"job_type": job_type} if job_type else {}) | query)

    def dead_letters(self) -> str:
        """Return the address of the groups of dead letters."""
        return self.failures(status=str(Status.DEAD_LETTER))

    def failed_attempts(self, chosen: Range, job_type: str = "") -> str:
        """Return the address of the log rows that the monitor counts as failures of this time, of this type if given;
        empty where this site has none.
        """
        query = {"became": FAILURES, "since": chosen.key}
        return self._list_if_any("executionlog", query | ({"type": job_type} if job_type else {}))

    def failure_group(self, job_type: str, error_fingerprint: str, **query: Any) -> str:
        """Return the address of the page of one group of failures; empty where this site has none.

        ``query`` are further filters.
        """
        address = self._page_if_any("django_jobs_failure_group")
        asked = urlencode({"job_type": job_type, "fingerprint": error_fingerprint} | query)
        return f"{address}?{asked}" if address else ""

    def operations(self) -> str:
        """Return the address of the operations; empty where this site has none."""
        return self._list_if_any("operation", {})

    def operation(self, pk: int) -> str:
        """Return the address of an operation's page; empty where this site has none."""
        return self._page_if_any("django_jobs_operation_change", pk)

    def organization(self, pk: Any) -> str:
        """Return the address of an organization's page; empty where this site has none."""
        options = get_organization_model()._meta
        return self._page_if_any(f"{options.app_label}_{options.model_name}_change", pk)

    def _page_if_any(self, name: str, *args: Any) -> str:
        try:
            return self.page(name, *args)
        except NoReverseMatch:
            return ""

    def _list_if_any(self, model: str, query: dict[str, Any]) -> str:
        try:
            return self._list(model, query)
        except NoReverseMatch:
            return ""

    def _list(self, model: str, query: dict[str, Any]) -> str:
        address = self.page(f"django_jobs_{model}_changelist")
        return f"{address}?{urlencode(query)}" if query else address
