"""The routes beside single jobs: metrics, and the ticket for a websocket."""

from __future__ import annotations

from typing import Any

from rest_framework.decorators import action
from rest_framework.response import Response

from django_jobs.api.credentials import credential_of
from django_jobs.api.fields import check_parameters
from django_jobs.api.jobs.answers import metrics_of
from django_jobs.api.jobs.base import JobScope
from django_jobs.engine import sockets, timing


class OverviewMixin(JobScope):
    """Read metrics, and get a ticket for a websocket."""

    @action(detail=False, methods=["get"], filter_backends=[], pagination_class=None)
    def metrics(self, request: Any, **kwargs: Any) -> Response:
        """How jobs are doing: counts, depths, times, rates."""
        check_parameters(request.query_params, ["organization", "format"])
        return Response(metrics_of(request.query_params.get("organization"), request.user))

    @action(detail=False, methods=["post"], url_path="socket-ticket", url_name="socket-ticket")
    def socket_ticket(self, request: Any, **kwargs: Any) -> Response:
        """A ticket that opens one websocket as you, within a minute, for as long as your session or token holds."""
        self.refuse_fields(request)
        ticket = sockets.make_ticket(request.user, credential_of(request))
        body = {"ticket": ticket, "expires_in": timing.SOCKET_PASS_SECONDS}
        return Response(body, headers={"Cache-Control": "no-store"})
