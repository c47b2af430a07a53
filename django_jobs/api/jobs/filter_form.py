"""The filters of a list as a form."""

from __future__ import annotations

from typing import Any

from django.template import loader

from django_jobs.api.jobs.filters import JobFilterBackend


class FilterForm(JobFilterBackend):
    """Shows beside each filter what is wrong with it, the user's organization too, which the filter set looks up."""

    def to_html(self, request: Any, queryset: Any, view: Any) -> str:
        filterset = self.get_filterset(request, queryset, view)
        filterset.is_valid()
        return loader.get_template(self.template).render({"filter": filterset}, request)
