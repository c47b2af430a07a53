"""The form with the filters of a list, on the pages of the browsable API."""

from __future__ import annotations

from typing import Any

from django.template import loader

from django_jobs.api.jobs.filters import JobFilterBackend


class FilterForm(JobFilterBackend):
    """Show beside each filter what is wrong with it, an unknown organization included."""

    def to_html(self, request: Any, queryset: Any, view: Any) -> str:
        filterset = self.get_filterset(request, queryset, view)
        filterset.is_valid()
        return loader.get_template(self.template).render({"filter": filterset}, request)
