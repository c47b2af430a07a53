"""Jobs over HTTP. Each view reads the request, calls one verb of the engine, and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.viewsets import GenericViewSet

from django_jobs.api import submitting
from django_jobs.api.base import JobsView
from django_jobs.api.credentials import credential_of
from django_jobs.api.fields import refuse_unknown
from django_jobs.api.filter_form import FilterForm
from django_jobs.api.filters import JobFilter
from django_jobs.api.outputs import read_output
from django_jobs.api.pagination import RESULT, JobListPagination, asks_for_results
from django_jobs.api.scope import jobs_seen_by, organizations_named, unknown_organization
from django_jobs.api.serializers import NothingSerializer, SubmissionSerializer
from django_jobs.api.throttles import ItemsThrottle
from django_jobs.engine.access import get_policy
from django_jobs.engine.control import audit
from django_jobs.engine.control.cancel_and_retry import cancel_job, retry_job
from django_jobs.engine.control.retention import delete_jobs
from django_jobs.engine.insight.history import history_page
from django_jobs.engine.insight.listing import for_list
from django_jobs.engine.insight.metrics import get_job_metrics
from django_jobs.engine.insight.status import describe, describe_all
from django_jobs.engine.lookup import find_among
from django_jobs.engine.sockets import tickets
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidSubmission, InvalidTransition, PermissionDenied
from django_jobs.models import Job
from django_jobs.models.job import JobQuerySet
from django_jobs.statuses import TERMINAL, Status

SUBMITTED: Final = "Job submitted successfully"
#: What the admin's history says of a job that REST deleted.
DELETED: Final = "Deleted by REST."
#: An id has fewer.
MAX_DIGITS: Final = 19


class JobScope(JobsView, GenericViewSet[Job]):
    """The jobs that the user may know of: another tenant's is not found by any route.

    Its methods take any parameters of the address, since the host's prefix may have some.
    """

    lookup_field = "job_id"
    lookup_value_regex = "[^/]+"
    serializer_class: Any = NothingSerializer

    def get_queryset(self) -> JobQuerySet:
        if getattr(self, "swagger_fake_view", False):  # a schema is made without the database
            return Job.objects.none()
        return jobs_seen_by(self.request.user)

    def get_object(self) -> Job:
        return find_among(self.get_queryset(), self.kwargs["job_id"], self.request.user)

    def reverse_action(self, url_name: str, *args: Any, **kwargs: Any) -> str:
        """The address of another route, below the same prefix: that may have parameters of its own."""
        prefix = {name: value for name, value in self.kwargs.items() if name != self.lookup_field}
        return str(super().reverse_action(url_name, *args, **{**kwargs, "kwargs": prefix | kwargs.get("kwargs", {})}))

    def described(self, job: Job) -> dict[str, Any]:
        return describe(job, user=self.request.user).as_dict()


class SubmitMixin(JobScope):
    """Taking jobs in."""

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Submit a job."""
        serializer = SubmissionSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        job = self.reread(submitting.submit(serializer, request.user))
        body = {**self.described(job), "message": SUBMITTED}
        location = self.reverse_action("detail", kwargs={"job_id": job.name})
        return Response(body, status=status.HTTP_201_CREATED, headers={"Location": location})

    @action(detail=False, methods=["post"], pagination_class=None)
    def bulk(self, request: Any, **kwargs: Any) -> Response:
        """Submit up to 1,000 jobs, all or nothing."""
        items = submitting.check_list(request.data)
        self.count_items(request, len(items))
        jobs = submitting.submit_all(items, request.user)
        now = for_list(Job.primary.all()).in_bulk([job.pk for job in jobs])
        rows = rows_of([now.get(job.pk, job) for job in jobs], request.user)
        return Response(rows, status=status.HTTP_201_CREATED)

    def count_items(self, request: Any, count: int) -> None:
        """Count each submission against its rate, also where it is refused later: looking at it has its price.

        Calls that the rates of requests refused do not come here, so that they use up nothing.
        """
        throttle = ItemsThrottle("submit_items", count)
        if throttle.most is not None and count > throttle.most:
            raise ValidationError({"non_field_errors": [f"At most {throttle.most} submissions are taken at once."]})
        if not throttle.allow_request(request, self):
            self.throttled(request, throttle.wait())

    @staticmethod
    def reread(job: Job) -> Job:
        """The job as it stands now: it may have been dispatched meanwhile."""
        return Job.primary.filter(pk=job.pk).first() or job


class ReadMixin(JobScope):
    """Telling what jobs do."""

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The jobs that you may see, newest first."""
        rows = self.filter_queryset(self.get_queryset().order_by("-pk"))
        results = asks_for_results(request.query_params)
        page = self.paginate_queryset(for_list(rows, results=results)) or []
        return self.get_paginated_response(rows_of(page, request.user, results=results))

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """What a job does now."""
        return Response(self.described(self.get_object()))

    @action(detail=True, methods=["get"])
    def history(self, request: Any, **kwargs: Any) -> Response:
        """What happened to a job, in order."""
        refuse_unknown(request.query_params, ["after", "format"])
        return Response(history_of(self.get_object(), request, request.query_params.get("after")))

    @action(detail=True, methods=["get"])
    def output(self, request: Any, **kwargs: Any) -> Any:
        """The file that the job's handler saved."""
        return read_output(self.get_object(), request.user)

    def perform_content_negotiation(self, request: Any, force: bool = False) -> Any:
        # A file is sent as it is, whatever kind of it the client would like.
        return super().perform_content_negotiation(request, force=force or self.action == "output")


class ControlMixin(JobScope):
    """What people do to jobs."""

    @action(detail=True, methods=["post"])
    def cancel(self, request: Any, **kwargs: Any) -> Response:
        """Cancel a job that waits; ask one that runs to stop."""
        refuse_fields(request)
        job = cancel_job(self.get_object(), user=request.user)
        done = job.status == Status.CANCELED
        return Response(self.described(job), status=status.HTTP_200_OK if done else status.HTTP_202_ACCEPTED)

    @action(detail=True, methods=["post"])
    def retry(self, request: Any, **kwargs: Any) -> Response:
        """Give a job that failed a new life, with all its retries."""
        refuse_fields(request)
        job = retry_job(self.get_object(), user=request.user)
        return Response(self.described(job))

    def destroy(self, request: Any, **kwargs: Any) -> Response:
        """Delete a job that has ended, with its history and files."""
        job = self.get_object()
        if not get_policy().can_delete(request.user, job):
            raise PermissionDenied("Only system admins may delete jobs.")
        if job.status not in TERMINAL:
            raise InvalidTransition(job.name, job.status, "delete")
        if not database.in_transaction(lambda: self._delete(job)):
            reason = "unfinished jobs or other data need it"
            raise InvalidTransition(job.name, job.status, "delete", reason)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _delete(self, job: Job) -> bool:
        """Delete it and say who did; whether it went."""
        is_gone = bool(delete_jobs([job.pk], release_children=True))
        audit.record(self.request.user, [job] if is_gone else [], audit.Act.DELETED, DELETED)
        return is_gone


class OverviewMixin(JobScope):
    """What is not about a single job."""

    @action(detail=False, methods=["get"], filter_backends=[], pagination_class=None)
    def metrics(self, request: Any, **kwargs: Any) -> Response:
        """How jobs are doing: counts, depths, times, rates."""
        refuse_unknown(request.query_params, ["organization", "format"])
        return Response(metrics_of(request.query_params.get("organization"), request.user))

    @action(detail=False, methods=["post"], url_path="socket-ticket", url_name="socket-ticket")
    def socket_ticket(self, request: Any, **kwargs: Any) -> Response:
        """A ticket that opens one websocket as you, within a minute, for as long as your session or token holds."""
        refuse_fields(request)
        ticket = tickets.make_ticket(request.user, credential_of(request))
        body = {"ticket": ticket, "expires_in": tickets.LIFETIME_SECONDS}
        return Response(body, headers={"Cache-Control": "no-store"})


class JobViewSet(SubmitMixin, ReadMixin, ControlMixin, OverviewMixin):
    """Background jobs: submit them, follow them, cancel and retry them."""

    filter_backends = [FilterForm]
    filterset_class = JobFilter
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
        """What a call takes; the form of a page is that of the POST to its address."""
        takes_submissions = self.action in {"list", "create", "bulk", "metadata"} and not self.detail
        return SubmissionSerializer if takes_submissions else NothingSerializer


def refuse_fields(request: Any) -> None:
    """These calls take none."""
    NothingSerializer(data=request.data).is_valid(raise_exception=True)


def rows_of(jobs: Sequence[Job], user: Any, *, results: bool = False) -> list[dict[str, Any]]:
    """These jobs as a list tells them: small, and without results unless they were asked for."""
    rows = [item.as_dict() for item in describe_all(jobs, user=user, listed=True)]
    return rows if results else [{name: value for name, value in row.items() if name != RESULT} for row in rows]


def history_of(job: Job, request: Any, after: Any) -> dict[str, Any]:
    """A page of the job's history; ``after`` is the id of the last row of the page before, if there was one."""
    text = str(after or 0)
    if not (text.isascii() and text.isdecimal() and len(text) < MAX_DIGITS):
        raise ValidationError({"after": ["Give the id of a row of this history."]})
    page = history_page(job, int(text))
    address = replace_query_param(request.build_absolute_uri(), "after", page.after)
    return {"job_id": job.name, "history": page.rows, "next": None if page.after is None else address}


def metrics_of(organization: Any, user: Any) -> dict[str, Any]:
    """The metrics of one organization, or of all that the user may see."""
    name = "" if organization is None else str(organization)
    if name and name not in organizations_named({name}, user):
        raise InvalidSubmission({"organization": [unknown_organization(name)]})
    return get_job_metrics(name or None, user=user)
