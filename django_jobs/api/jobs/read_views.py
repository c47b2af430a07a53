"""The routes that read jobs."""

from __future__ import annotations

from typing import Any

from rest_framework.decorators import action
from rest_framework.response import Response

from django_jobs.api.fields import check_parameters
from django_jobs.api.jobs.answers import history_of, rows_of
from django_jobs.api.jobs.base import JobScope
from django_jobs.api.jobs.filters import searching
from django_jobs.api.jobs.outputs import read_output
from django_jobs.api.pagination import asks_for_results
from django_jobs.engine.insight.status import for_list


class ReadMixin(JobScope):
    """List jobs, and read one with its history and its file."""

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The jobs that you may see, newest first."""
        results = asks_for_results(request.query_params)
        with searching(request, request.query_params.get("search")):
            rows = self.filter_queryset(self.get_queryset().order_by("-pk"))
            page = self.paginate_queryset(for_list(rows, results=results)) or []
        return self.get_paginated_response(rows_of(page, request.user, results=results))

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """What a job does now."""
        return Response(self.described(self.get_object()))

    @action(detail=True, methods=["get"])
    def history(self, request: Any, **kwargs: Any) -> Response:
        """What happened to a job, in order."""
        check_parameters(request.query_params, ["after", "format"])
        return Response(history_of(self.get_object(), request, request.query_params.get("after")))

    @action(detail=True, methods=["get"])
    def output(self, request: Any, **kwargs: Any) -> Any:
        """The file that the job's handler saved."""
        return read_output(self.get_object(), request.user)

    def perform_content_negotiation(self, request: Any, force: bool = False) -> Any:
        # A file is sent as it is, whatever kind of it the client would like.
        return super().perform_content_negotiation(request, force=force or self.action == "output")
