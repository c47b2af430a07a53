"""Jobs over HTTP: lists, one job, submitting, canceling, retrying, outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Final

from django.core.exceptions import SuspiciousFileOperation
from django.db.models import QuerySet
from django.http import QueryDict
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error
from rest_framework.utils.urls import replace_query_param

from django_jobs.api.base import (
    ItemsThrottle,
    RowsView,
    ViewCall,
    check_organization,
    count_search,
    credential_of,
)
from django_jobs.api.errors import NoOutput, OutputWithheld
from django_jobs.api.fields import (
    JobIdsField,
    ListFilter,
    ObjectField,
    PriorityInput,
    ShownWordField,
    StatusSerializer,
    StrictSerializer,
    one_of,
)
from django_jobs.api.pagination import RESULT, JobListPagination, asks_for_results
from django_jobs.conf import output_storage
from django_jobs.downloads import Download
from django_jobs.engine import sockets, timing
from django_jobs.engine.access import (
    is_active,
    unknown_organization,
)
from django_jobs.engine.control.acts import cancel_job, delete_job, retry_job
from django_jobs.engine.execution.context import output_belongs_to
from django_jobs.engine.insight.filter import LIST_TERMS, SEARCH, JobFilter, Narrowing, Term, read_terms
from django_jobs.engine.insight.metrics import get_job_metrics
from django_jobs.engine.insight.reasons import REASONS, command_for
from django_jobs.engine.insight.search import RECENT, among_newest, walked_in_time
from django_jobs.engine.insight.status import describe, describe_all, for_list, history_page
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.engine.store import database
from django_jobs.engine.submission.submit import submit_job, submit_jobs
from django_jobs.exceptions import InvalidSubmission, PermissionDenied
from django_jobs.models import Job, get_organization_model
from django_jobs.statuses import ActorKind, Status
from django_jobs.texts import in_english, say
from django_jobs.values import JobStatus

# Each view reads the request, calls one verb of the engine, and answers.


# The bodies of jobs that go in and out over HTTP, and the parameters of addresses.


class SubmissionSerializer(StrictSerializer):
    """A submission. Its form is judged here, what it asks for by the engine."""

    job_type = serializers.CharField(max_length=100, help_text="The name of a job type.")
    organization = serializers.CharField(max_length=255, help_text="The id of an organization.")
    parameters = ObjectField(required=False, allow_null=True, help_text="A JSON object: what the job type asks for.")
    priority = PriorityInput(required=False, allow_null=True, help_text="By default the job type's.")
    depends_on = JobIdsField(
        required=False, allow_null=True, help_text="Ids of jobs that must complete first: one, or a list of them."
    )
    run_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Not before this moment (ISO 8601).")
    metadata = ObjectField(
        required=False, allow_null=True, help_text="A JSON object of up to 4 kB for correlation ids and the like."
    )
    batch = serializers.CharField(
        required=False, allow_null=True, max_length=140, help_text="The id of a batch that the job counts for."
    )


class SubmissionsSerializer(serializers.ListSerializer[Any]):
    """Many submissions."""

    child = SubmissionSerializer()


class JobSerializer(StatusSerializer):
    """The fields of JobStatus. Times are in UTC."""

    kind = JobStatus


class WaitingReasonSerializer(serializers.Serializer[Any]):
    """Why a job waits, for people."""

    text = serializers.CharField(help_text="`waiting_for` in a sentence of English.")
    command = serializers.CharField(help_text="A command of the server that lets it go, for system admins; or empty.")


class ReadJobSerializer(JobSerializer):
    """A job, and why it waits."""

    waiting_reason = WaitingReasonSerializer(allow_null=True)


class ListedJobSerializer(JobSerializer):
    """A job in a list. Its error is cut after 500 characters and its parents after 100, each with an ellipsis."""

    result = serializers.JSONField(required=False, help_text="Only where `fields=result` asks for it.")


class SubmittedJobSerializer(JobSerializer):
    """A job that was just submitted."""

    message = serializers.CharField()


class LogSerializer(serializers.Serializer[Any]):
    """One change of a job's status."""

    id = serializers.IntegerField()
    from_status = serializers.CharField(help_text="Empty for the submission.")
    to_status = ShownWordField(words=Status.values)
    timestamp = serializers.DateTimeField()
    actor = serializers.CharField()
    actor_kind = ShownWordField(words=ActorKind.values)
    message = serializers.CharField()
    attempt = serializers.IntegerField()


class HistorySerializer(serializers.Serializer[Any]):
    """Some of a job's history, in order."""

    job_id = serializers.CharField()
    history = LogSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the rows that follow are; null: there are none.")


class HistoryParameters(serializers.Serializer[Any]):
    """The parameters of a history."""

    after = serializers.IntegerField(
        default=0, min_value=0, max_value=2**63 - 1, help_text="The id of a row: those that follow it."
    )


class TimesSerializer(serializers.Serializer[Any]):
    """How long handlers ran."""

    average_seconds = serializers.FloatField(allow_null=True)
    p95_seconds = serializers.FloatField(allow_null=True)


class MetricsSerializer(serializers.Serializer[Any]):
    """How jobs are doing."""

    job_count_by_status = serializers.DictField(child=serializers.IntegerField())
    queue_depth_by_priority = serializers.DictField(child=serializers.IntegerField())
    processing_time = TimesSerializer()
    processing_time_by_type = serializers.DictField(child=TimesSerializer())
    failure_rate_by_type = serializers.DictField(child=serializers.FloatField(min_value=0, max_value=1))
    active_workers = serializers.IntegerField()
    throughput_per_minute = serializers.FloatField()
    oldest_waiting_seconds = serializers.FloatField(allow_null=True)
    timestamp = serializers.DateTimeField()


class MetricsParameters(serializers.Serializer[Any]):
    """The parameters of metrics."""

    organization = serializers.CharField(required=False, allow_blank=True, help_text="The id of an organization.")


class TicketSerializer(serializers.Serializer[Any]):
    """What opens a websocket."""

    ticket = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")


# Answers that the REST routes and the method endpoints share.


SUBMITTED: Final = "Job submitted successfully"


def rows_of(jobs: Sequence[Job], user: Any, *, results: bool = False) -> list[dict[str, Any]]:
    """Return the jobs as the rows of a list: with long texts cut, and with ``result`` only where ``results`` is set."""
    rows = [item.as_dict() for item in describe_all(jobs, user=user, listed=True)]
    return rows if results else [{name: value for name, value in row.items() if name != RESULT} for row in rows]


def history_of(job: Job, request: Any, after: int) -> dict[str, Any]:
    """Return the page of the job's history behind the row with the id ``after``, with the address of the next one."""
    page = history_page(job, after)
    address = replace_query_param(request.build_absolute_uri(), "after", page.after)
    return {"job_id": job.name, "history": page.rows, "next": None if page.after is None else address}


def metrics_of(organization: Any, scope: Scope) -> dict[str, Any]:
    """Return the metrics of one organization, or of all that the user may see where ``organization`` is empty.

    InvalidSubmission when there is no such organization for this user.
    """
    name = "" if organization is None else str(organization)
    if name:
        check_organization(name, scope)
    return get_job_metrics(name or None, user=scope.user)


# The parameters of a list of jobs: the terms of a filter of jobs.


ORDERING: Final = "ordering"
#: Ids are in the order of the submissions, and they have an index.
_ORDERS: Final = {"-created_at": "-pk", "created_at": "pk"}


def _ordered(order: str) -> Narrowing:
    return lambda rows: rows.order_by(_ORDERS[order])


class JobListFilter(ListFilter):
    """Finds jobs by the parameters of a list."""

    terms = {
        **LIST_TERMS,
        ORDERING: Term(one_of(*_ORDERS), _ordered, ORDERING, "The newest first, or the oldest first"),
    }

    @contextmanager
    def found(self, request: Any, query: QueryDict, others: Iterable[str]) -> Iterator[QuerySet[Any]]:
        """Yield the jobs that match, of those that the user may see, and bound the time of what is read in the block.

        A search that no index serves counts against its rate. Raises ValidationError and InvalidFilter.
        """
        scope, given = scope_of(request), self.given(query, others)
        ordering = read_terms({ORDERING: given.pop(ORDERING, "-created_at")}, scope.user, self.terms)[ORDERING]
        filters = JobFilter.read(given, scope.user)
        rows: Any = scope.jobs().none() if filters.asks_for_hidden(scope.user) else filters.narrow(scope.jobs())
        if filters.is_walked:
            count_search(request)
            rows = among_newest(rows, filters.organization or scope.organizations, RECENT).rows
        name = SEARCH if SEARCH in given else filters.walked or ""
        with walked_in_time(name, is_walked=filters.is_walked):
            yield self.terms[ORDERING].narrow(rows, ordering)


# Handing out the files that handlers saved.


def read_output(job: Job, scope: Scope) -> Download:
    """Return the job's file as a download.

    PermissionDenied when the access policy keeps it from the user, OutputWithheld while the organization is not
    active, NoOutput when the job saved no file or the file is gone.
    """
    if not scope.may("can_read_output", job):
        raise PermissionDenied(f"You may not read the output of {job.name}.")
    if _is_withheld(job):
        raise OutputWithheld
    reference = job.output_reference
    if not output_belongs_to(reference, job.organization_id, job.name):
        raise NoOutput
    return Download(_open(reference), PurePosixPath(reference).name)


def _is_withheld(job: Job) -> bool:
    organization = database.rows(get_organization_model()).filter(pk=job.organization_id).first()
    return organization is not None and not is_active(organization)


def _open(reference: str) -> Any:
    try:
        return output_storage().open(reference, "rb")
    except (FileNotFoundError, SuspiciousFileOperation) as error:
        raise NoOutput from error


# Hand submissions that came in over HTTP to the engine, one or many.


#: Submissions in one call.
MAX_BULK: Final = 1_000
#: An id that no organization has. None would mean the system organization.
UNKNOWN: Final = ""


def reread(job: Job) -> Job:
    """Return the job as it stands now, since it may have been dispatched meanwhile."""
    return Job.primary.filter(pk=job.pk).first() or job


def submit(fields: dict[str, Any], scope: Scope) -> Job:
    """Submit what a valid SubmissionSerializer holds, and return the job."""
    name = fields["organization"]
    visible = bool(scope.organizations_named([name]))
    try:
        # With UNKNOWN the engine still checks the other fields, and its answer tells nothing about this organization.
        return submit_job(**{**fields, "organization": name if visible else UNKNOWN}, user=scope.user)
    except InvalidSubmission as error:
        if not visible:
            error.errors["organization"] = [unknown_organization(name)]
        raise


def check_list(items: Any) -> list[Any]:
    """Return the body if it is a list of at most MAX_BULK submissions; raise ValidationError if not."""
    if not isinstance(items, list):
        text = say("Give a list of submissions, each an object (a dict).", code="not_a_list")
        raise ValidationError({"non_field_errors": [text]})
    if len(items) > MAX_BULK:
        text = say("At most %(most)d submissions are taken at once.", code="too_many", most=MAX_BULK)
        raise ValidationError({"non_field_errors": [text]})
    return items


def submit_all(items: list[Any], scope: Scope) -> list[Job]:
    """Submit a list, all or nothing, and return the jobs in the same order.

    ValidationError has a list as long as this one, with ``{}`` for each item that is right. Where no single item is
    wrong, it has the errors of the call.
    """
    read, errors = _read_all(items)
    visible = scope.organizations_named({fields["organization"] for fields in read if fields})
    asked = [fields and {**fields, "organization": _if_visible(fields["organization"], visible)} for fields in read]
    try:
        jobs = submit_jobs(asked, user=scope.user)
    except InvalidSubmission as error:
        errors = {**error.by_index, **_unknown(read, visible, error.by_index), **errors}
        if not errors:  # no single item is wrong
            raise ValidationError(error.errors) from error
        raise ValidationError([errors.get(index, {}) for index in range(len(items))]) from error
    return jobs


def _read_all(items: list[Any]) -> tuple[list[Any], dict[int, Any]]:
    """Read each item: its fields, or None with its errors by index.

    The engine refuses None and still checks the other items, so that one answer has all errors.
    """
    serializer = SubmissionSerializer()
    read: list[Any] = []
    errors: dict[int, Any] = {}
    for index, item in enumerate(items):
        try:
            read.append(dict(serializer.run_validation(item)))
        except ValidationError as error:
            read.append(None)
            errors[index] = as_serializer_error(error)  # of null the REST framework has a mere list
    return read, errors


def _if_visible(name: Any, visible: dict[str, Any]) -> Any:
    return name if name in visible else UNKNOWN


def _unknown(read: list[Any], visible: dict[str, Any], by_index: dict[int, Any]) -> dict[int, Any]:
    """The errors of the items whose organization the user may not know of."""
    return {
        index: {**by_index.get(index, {}), "organization": [unknown_organization(fields["organization"])]}
        for index, fields in enumerate(read)
        if fields is not None and fields["organization"] not in visible
    }


# The routes of jobs.


class JobViewSet(RowsView[Job]):
    """Background jobs: submit them, follow them, cancel and retry them."""

    queryset = Job.objects.none()  # for the schema, which is made without the database
    lookup_field = "job_id"
    filter_backends = [JobListFilter]
    pagination_class = JobListPagination
    calls = {
        "list": ViewCall("list", answers={200: ListedJobSerializer}),
        "create": ViewCall("submit", SubmissionSerializer, {201: SubmittedJobSerializer}),
        "bulk": ViewCall("submit", SubmissionsSerializer, {201: ListedJobSerializer(many=True)}),
        "retrieve": ViewCall(answers={200: ReadJobSerializer}),
        "cancel": ViewCall("cancel", answers={200: JobSerializer, 202: JobSerializer}),
        "retry": ViewCall("cancel", answers={200: JobSerializer}),
        "destroy": ViewCall("cancel", answers={204: None}),
        "history": ViewCall(answers={200: HistorySerializer}, query=HistoryParameters),
        "output": ViewCall(answers={(200, "*/*"): {"type": "string", "format": "binary"}}),
        "metrics": ViewCall("metrics", answers={200: MetricsSerializer}, query=MetricsParameters),
        "socket_ticket": ViewCall(answers={200: TicketSerializer}),
    }

    def get_object(self) -> Job:
        return scope_of(self.request).job(self.kwargs["job_id"])

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The jobs that you may see, newest first."""
        results = asks_for_results(request.query_params)
        with JobListFilter().found(request, request.query_params, [*JobListPagination.parameters, "format"]) as jobs:
            page = self.paginate_queryset(for_list(jobs, results=results)) or []
        return self.get_paginated_response(rows_of(page, request.user, results=results))

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Submit a job."""
        job = reread(submit(self.get_body(), scope_of(request)))
        body = {**self._described(job), "message": SUBMITTED}
        location = self.reverse_action("detail", kwargs={"job_id": job.name})
        return Response(body, status=status.HTTP_201_CREATED, headers={"Location": location})

    @action(detail=False, methods=["post"], pagination_class=None)
    def bulk(self, request: Any, **kwargs: Any) -> Response:
        """Submit up to 1,000 jobs, all or nothing.

        Each of them counts against the throttle `submit_items`.
        """
        items = check_list(request.data)
        self._count_items(request, len(items))
        jobs = submit_all(items, scope_of(request))
        now = for_list(Job.primary.all()).in_bulk([job.pk for job in jobs])
        rows = rows_of([now.get(job.pk, job) for job in jobs], request.user)
        return Response(rows, status=status.HTTP_201_CREATED)

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """What a job does now."""
        job = self.get_object()
        body = self._described(job)
        return Response({**body, "waiting_reason": self._waiting_reason(body["waiting_for"], job.job_type_id)})

    @action(detail=True, methods=["post"])
    def cancel(self, request: Any, **kwargs: Any) -> Response:
        """Cancel a job that waits; ask one that runs to stop."""
        self.get_body()
        job = cancel_job(self.kwargs["job_id"], user=request.user)
        done = job.status == Status.CANCELED
        return Response(self._described(job), status=status.HTTP_200_OK if done else status.HTTP_202_ACCEPTED)

    @action(detail=True, methods=["post"])
    def retry(self, request: Any, **kwargs: Any) -> Response:
        """Give a job that failed a new life, with all its retries."""
        self.get_body()
        job = retry_job(self.kwargs["job_id"], user=request.user)
        return Response(self._described(job))

    def destroy(self, request: Any, **kwargs: Any) -> Response:
        """Delete a job that has ended, with its history and files."""
        delete_job(self.kwargs["job_id"], user=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @action(detail=True, methods=["get"], pagination_class=None)
    def history(self, request: Any, **kwargs: Any) -> Response:
        """What happened to a job, in order."""
        after = self.get_parameters()["after"]
        return Response(history_of(self.get_object(), request, after))

    @action(detail=True, methods=["get"])
    def output(self, request: Any, **kwargs: Any) -> Any:
        """The file that the job's handler saved."""
        return read_output(self.get_object(), scope_of(request))

    @action(detail=False, methods=["get"], filter_backends=[], pagination_class=None)
    def metrics(self, request: Any, **kwargs: Any) -> Response:
        """How jobs are doing: counts, depths, times, rates."""
        return Response(metrics_of(self.get_parameters().get("organization"), scope_of(request)))

    @action(detail=False, methods=["post"], url_path="socket-ticket", url_name="socket-ticket")
    def socket_ticket(self, request: Any, **kwargs: Any) -> Response:
        """A ticket that opens one websocket as you, within a minute, for as long as your session or token holds."""
        self.get_body()
        ticket = sockets.make_ticket(request.user, credential_of(request))
        body = {"ticket": ticket, "expires_in": timing.SOCKET_PASS_SECONDS}
        return Response(body, headers={"Cache-Control": "no-store"})

    def perform_content_negotiation(self, request: Any, force: bool = False) -> Any:
        # A file is sent as it is, whatever kind of it the client would like.
        return super().perform_content_negotiation(request, force=force or self.action == "output")

    def _waiting_reason(self, waiting_for: str | None, job_type: str) -> dict[str, str] | None:
        if waiting_for is None:
            return None
        is_told = scope_of(self.request).is_system_admin
        command = command_for(waiting_for, job_type) if is_told else ""
        return {"text": in_english(REASONS[waiting_for].long), "command": command}

    def _described(self, job: Job) -> dict[str, Any]:
        """Return the fields of the job's status, as far as the user may read them."""
        return describe(job, user=self.request.user).as_dict()

    def _count_items(self, request: Any, count: int) -> None:
        """Count each submission against its rate, also one that is refused later, since checking it costs time too.

        A call that exceeds the rate of requests does not come here, so it uses up nothing of this rate.
        """
        throttle = ItemsThrottle("submit_items", count)
        if throttle.max_items is not None and count > throttle.max_items:
            text = say("At most %(most)d submissions are taken at once.", code="too_many", most=throttle.max_items)
            raise ValidationError({"non_field_errors": [text]})
        if count and not throttle.allow_request(request, self):
            self.throttled(request, throttle.wait())
