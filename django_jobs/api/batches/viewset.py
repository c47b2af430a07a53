"""The routes of batches."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import status
from rest_framework.decorators import action
from rest_framework.response import Response

from django_jobs.api.batches.filters import BatchFilter
from django_jobs.api.batches.serializers import BatchSerializer, NewBatchSerializer
from django_jobs.api.list_filters import ListFilterBackend
from django_jobs.api.pagination import JobsPagination
from django_jobs.api.rows import RowsView
from django_jobs.api.scope import batches_seen_by
from django_jobs.api.serializers import NothingSerializer
from django_jobs.engine.access import find_batch, organizations_named, unknown_organization
from django_jobs.engine.batches import create_batch, describe_batches, get_batch_status, up_to_date
from django_jobs.engine.control.batches import cancel_batch, close_batch, retry_batch
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Batch
from django_jobs.models.batch import BatchQuerySet
from django_jobs.statuses import BatchState


class BatchPagination(JobsPagination):
    """Split a list of batches into pages."""

    farther = "use created_before to reach older batches"


class BatchViewSet(RowsView[Batch]):
    """Jobs that are followed together. A job comes into a batch by the batch that its submission names."""

    lookup_field = "batch_id"
    filter_backends = [ListFilterBackend]
    filterset_class = BatchFilter
    pagination_class = BatchPagination

    _SCOPES: Final = {"list": "list", "create": "submit", "close": "submit", "cancel": "cancel", "retry": "cancel"}

    def throttle_scope_of(self, request: Any) -> str:
        return self._SCOPES.get(self.action or "", "status")

    def get_serializer_class(self) -> Any:
        """Return the serializer of what a call takes; a page shows the form of the POST to its address."""
        makes_batches = self.action in {"list", "create", "metadata"} and not self.detail
        return NewBatchSerializer if makes_batches else NothingSerializer

    def get_queryset(self) -> BatchQuerySet:
        if getattr(self, "swagger_fake_view", False):  # a schema is made without the database
            return Batch.objects.none()
        return batches_seen_by(self.request.user)

    def get_object(self) -> Batch:
        return find_batch(self.kwargs["batch_id"], self.request.user)

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The batches that you may see, newest first."""
        rows: Any = self.filter_queryset(self.get_queryset().order_by("-pk"))
        page: Any = self.paginate_queryset(up_to_date(rows)) or []
        return self.get_paginated_response([item.as_dict() for item in describe_batches(page)])

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Make a batch, which is open: jobs are added until it is closed."""
        serializer = NewBatchSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        batch = _create(serializer, request.user)
        location = self.reverse_action("detail", kwargs={"batch_id": batch.batch_id})
        return self._answer(batch, status.HTTP_201_CREATED, headers={"Location": location})

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """What a batch does now."""
        return self._answer(self.get_object())

    @action(detail=True, methods=["post"])
    def close(self, request: Any, **kwargs: Any) -> Response:
        """Close a batch: only its own jobs may add jobs to it now, and it ends with the last of them."""
        self.refuse_fields(request)
        return self._answer(close_batch(self.kwargs["batch_id"], user=request.user))

    @action(detail=True, methods=["post"])
    def cancel(self, request: Any, **kwargs: Any) -> Response:
        """Cancel what waits of a batch, and ask what runs of it to stop."""
        self.refuse_fields(request)
        batch = cancel_batch(self.kwargs["batch_id"], user=request.user)
        is_done = batch.state == BatchState.CANCELED
        return self._answer(batch, status.HTTP_200_OK if is_done else status.HTTP_202_ACCEPTED)

    @action(detail=True, methods=["post"])
    def retry(self, request: Any, **kwargs: Any) -> Response:
        """Start those jobs of a batch over that failed, with all their retries."""
        self.refuse_fields(request)
        batch = retry_batch(self.kwargs["batch_id"], user=request.user)
        is_done = batch.retry_position is None  # the scheduler goes on with many
        return self._answer(batch, status.HTTP_200_OK if is_done else status.HTTP_202_ACCEPTED)

    def _answer(self, batch: Batch, status_code: int = status.HTTP_200_OK, **more: Any) -> Response:
        return Response(BatchSerializer(get_batch_status(batch)).data, status=status_code, **more)


def _create(serializer: NewBatchSerializer, user: Any) -> Batch:
    """Make the batch that a valid serializer describes. ValidationError has the engine's errors at its fields."""
    fields = dict(serializer.validated_data)
    name = fields.pop("organization")
    if not organizations_named({name}, user):
        raise serializer.refusal(InvalidSubmission({"organization": [unknown_organization(name)]}))
    try:
        return create_batch(name, user=user, **fields)
    except InvalidSubmission as error:
        raise serializer.refusal(error) from error
