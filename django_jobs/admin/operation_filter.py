"""The filter of the jobs list by the operation that acted on a job."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.addressed_filters import AddressedFilter
from django_jobs.admin.base import keys_of
from django_jobs.admin.bounded_filters import NOTHING
from django_jobs.admin.search_words import pair_text
from django_jobs.engine.control import operations
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.models import Operation


class OperationFilter(AddressedFilter):
    """Narrows the list to the jobs that an operation acted on last; to none if the user sees no such operation."""

    title = gettext_lazy("operation")
    parameter_name = "operation"
    _found: Operation | None = None

    def label_of(self, asked: str) -> str:
        self._found = operations.operations_seen_by(self.request.user).filter(pk__in=keys_of([asked])).first()
        if self._found is not None:
            return str(self._found.pk)
        pair = pair_text(self.parameter_name, super().label_of(asked))
        return _("There is nothing of that name: %(pair)s") % {"pair": pair}

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter of jobs that this stands for."""
        return NOTHING if self._found is None else JobFilter(operation=self._found.pk)
