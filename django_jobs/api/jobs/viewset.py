"""All routes of jobs together, with their filters, pages and rates."""

from __future__ import annotations

from typing import Any, Final

from django_jobs.api.jobs.control_views import ControlMixin
from django_jobs.api.jobs.filters import JobFilterBackend, JobListFilter
from django_jobs.api.jobs.overview_views import OverviewMixin
from django_jobs.api.jobs.read_views import ReadMixin
from django_jobs.api.jobs.submit_views import SubmitMixin
from django_jobs.api.pagination import JobListPagination
from django_jobs.api.serializers import NothingSerializer, SubmissionSerializer


class JobViewSet(SubmitMixin, ReadMixin, ControlMixin, OverviewMixin):
    """Background jobs: submit them, follow them, cancel and retry them."""

    filter_backends = [JobFilterBackend]
    filterset_class = JobListFilter
    pagination_class = JobListPagination

    _SCOPES: Final = {
        "list": "list",
        "create": "submit",
        "bulk": "submit",
        "cancel": "cancel",
        "retry": "cancel",
        "destroy": "cancel",
        "metrics": "metrics",
    }

    def throttle_scope_of(self, request: Any) -> str:
        return self._SCOPES.get(self.action or "", "status")

    def get_serializer_class(self) -> Any:
        """Return the serializer of what a call takes; a page shows the form of the POST to its address."""
        takes_submissions = self.action in {"list", "create", "bulk", "metadata"} and not self.detail
        return SubmissionSerializer if takes_submissions else NothingSerializer
