"""Batches over HTTP."""

from __future__ import annotations

from collections.abc import Collection
from functools import reduce
from operator import or_
from typing import Any, Final

from django.db.models import Q
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from django_jobs.api.base import RowsView, ViewCall, check_organization
from django_jobs.api.fields import (
    ListFilter,
    StatusSerializer,
    StrictSerializer,
    one_of,
)
from django_jobs.api.jobs import SubmissionSerializer
from django_jobs.api.pagination import JobsPagination
from django_jobs.engine.batches import MAX_NAME, create_batch, describe_batches, get_batch_status, up_to_date
from django_jobs.engine.control.batches import cancel_batch, close_batch, retry_batch
from django_jobs.engine.insight.filter import (
    MOMENT,
    SEARCH,
    TEXT,
    Narrowing,
    Term,
    made_in,
    submitted_after,
    submitted_before,
)
from django_jobs.engine.scope import scope_of
from django_jobs.models import Batch
from django_jobs.models.batch import BatchQuerySet, parse_batch_id
from django_jobs.statuses import BatchState, OpenTo
from django_jobs.values import BatchStatus

# Each view reads the request, calls one verb of the engine, and answers.


# The parameters of a list of batches, and which batches each of them finds.


#: How many of the newest batches are searched by their names, which have no index.
RECENT: Final = 10_000


def having(text: str) -> Narrowing:
    """Narrow down to the batch with this id, or to those among the newest whose name contains the text."""
    parsed = parse_batch_id(text)

    def narrow(rows: BatchQuerySet) -> BatchQuerySet:
        if parsed is not None:
            return rows.filter(made_in(parsed[1]), pk=parsed[0])
        too_old = rows.order_by("-pk").values_list("pk", flat=True)[RECENT : RECENT + 1]
        return rows.filter(Q(name__icontains=text), pk__gt=next(iter(too_old), 0))

    return narrow


def in_states(states: Collection[str]) -> Narrowing:
    """Narrow down to the batches that are in one of these states."""
    return lambda rows: reduce(or_, (rows.in_state(state) for state in sorted(states)))


class BatchListFilter(ListFilter):
    """Finds batches by the parameters of a list."""

    terms = {
        **ListFilter.terms,
        # After the organization and before the others, so that it looks among the newest batches of the organization.
        SEARCH: Term(TEXT, having, SEARCH, f"A batch id, or a part of the name, among the newest {RECENT:,} of yours"),
        "state": Term(one_of(*BatchState.values)._replace(is_repeated=True), in_states, "state", "In this state"),
        "created_after": Term(MOMENT, submitted_after, "since", "Made at this moment (ISO 8601) or later"),
        "created_before": Term(MOMENT, submitted_before, "before", "Made before this moment (ISO 8601)"),
    }


# The bodies of batches that go in and out over HTTP.


class FollowUpSerializer(StrictSerializer):
    """A submission that is made at a batch's end, for the batch's organization."""

    def get_fields(self) -> dict[str, Any]:
        """Return those of a submission but for what the batch decides."""
        fields = SubmissionSerializer().get_fields()
        return {name: fields[name] for name in ("job_type", "parameters", "priority", "run_at", "metadata")}


_WHEN = "A submission without organization, as a JSON object: {}"


class NewBatchSerializer(StrictSerializer):
    """A batch that is to be made. Its form is judged here, what it asks for by the engine."""

    organization = serializers.CharField(max_length=255, help_text="The id of an organization.")
    name = serializers.CharField(required=False, allow_blank=True, max_length=MAX_NAME, help_text="A title.")
    open_to = serializers.ChoiceField(
        required=False,
        choices=OpenTo.choices,
        help_text="Whose jobs it takes beside those of server code.",
    )
    then = FollowUpSerializer(
        required=False, allow_null=True, help_text=_WHEN.format("made once, when all jobs have completed.")
    )
    on_failure = FollowUpSerializer(
        required=False, allow_null=True, help_text=_WHEN.format("made once, when all jobs have ended and some failed.")
    )

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; errors inside of ``then`` are named ``then.job_type``, as the engine names its own."""
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(_flat(error.detail)) from error


def _flat(errors: Any) -> dict[str, Any]:
    """Return the errors with those of an inner object beside the others."""
    found: dict[str, Any] = {}
    for name, texts in errors.items():
        inside = texts if isinstance(texts, dict) else {"non_field_errors": texts}
        found |= {name if field == "non_field_errors" else f"{name}.{field}": more for field, more in inside.items()}
    return found


class BatchSerializer(StatusSerializer):
    """The fields of BatchStatus. Times are in UTC."""

    kind = BatchStatus


# The routes of batches.


class BatchPagination(JobsPagination):
    """Split a list of batches into pages."""

    farther = "use created_before to reach older batches"


class BatchViewSet(RowsView[Batch]):
    """Jobs that are followed together. A job comes into a batch by the batch that its submission names."""

    queryset = Batch.objects.none()  # for the schema, which is made without the database
    lookup_field = "batch_id"
    filter_backends = [BatchListFilter]
    pagination_class = BatchPagination

    calls = {
        "list": ViewCall("list", answers={200: BatchSerializer}),
        "create": ViewCall("submit", NewBatchSerializer, {201: BatchSerializer}),
        "retrieve": ViewCall(answers={200: BatchSerializer}),
        "close": ViewCall("submit", answers={200: BatchSerializer}),
        "cancel": ViewCall("cancel", answers={200: BatchSerializer, 202: BatchSerializer}),
        "retry": ViewCall("cancel", answers={200: BatchSerializer, 202: BatchSerializer}),
    }

    def get_object(self) -> Batch:
        return scope_of(self.request).batch(self.kwargs["batch_id"])

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The batches that you may see, newest first."""
        rows: Any = self.filter_queryset(scope_of(request).batches().order_by("-pk"))
        page: Any = self.paginate_queryset(up_to_date(rows)) or []
        return self.get_paginated_response([item.as_dict() for item in describe_batches(page)])

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Make a batch, which is open: jobs are added until it is closed."""
        fields = self.get_body()
        check_organization(fields["organization"], scope_of(request))
        batch = create_batch(fields.pop("organization"), user=request.user, **fields)
        location = self.reverse_action("detail", kwargs={"batch_id": batch.batch_id})
        return self._answer(batch, status.HTTP_201_CREATED, headers={"Location": location})

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """What a batch does now."""
        return self._answer(self.get_object())

    @action(detail=True, methods=["post"])
    def close(self, request: Any, **kwargs: Any) -> Response:
        """Close a batch: only its own jobs may add jobs to it now, and it ends with the last of them."""
        self.get_body()
        return self._answer(close_batch(self.kwargs["batch_id"], user=request.user))

    @action(detail=True, methods=["post"])
    def cancel(self, request: Any, **kwargs: Any) -> Response:
        """Cancel what waits of a batch, and ask what runs of it to stop."""
        self.get_body()
        batch = cancel_batch(self.kwargs["batch_id"], user=request.user)
        is_done = batch.state == BatchState.CANCELED
        return self._answer(batch, status.HTTP_200_OK if is_done else status.HTTP_202_ACCEPTED)

    @action(detail=True, methods=["post"])
    def retry(self, request: Any, **kwargs: Any) -> Response:
        """Start those jobs of a batch over that failed, with all their retries."""
        self.get_body()
        batch = retry_batch(self.kwargs["batch_id"], user=request.user)
        is_done = batch.retry_position is None  # the scheduler goes on with many
        return self._answer(batch, status.HTTP_200_OK if is_done else status.HTTP_202_ACCEPTED)

    def _answer(self, batch: Batch, status_code: int = status.HTTP_200_OK, **more: Any) -> Response:
        return Response(BatchSerializer(get_batch_status(batch)).data, status=status_code, **more)
