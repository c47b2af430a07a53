"""Operations on many jobs, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404
from django.utils import translation
from django.utils.translation import gettext as _
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from django_jobs.api.base import RowsView, ViewCall, count_search, non_atomic
from django_jobs.api.fields import ObjectField, PriorityInput, StatusSerializer, StrictSerializer
from django_jobs.api.pagination import JobsPagination
from django_jobs.engine.access import key_in
from django_jobs.engine.control import operations
from django_jobs.engine.control.operations import MAX_PER_MINUTE, OperationRequest, describe_operations
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.engine.pausing import set_paused
from django_jobs.engine.scope import scope_of
from django_jobs.exceptions import InvalidFilter, InvalidOperation, PermissionDenied
from django_jobs.models import Operation
from django_jobs.values import OperationStatus

# The bodies of operations that go in and out over HTTP.


class NewOperationSerializer(StrictSerializer):
    """An operation that is to be started. Its form is judged here, what it asks for by the engine."""

    action = serializers.ChoiceField(choices=Operation.Action.choices, help_text="What is done to each job.")
    filters = ObjectField(
        help_text='A JSON object with the parameters of the list of jobs, such as {"status": "Dead Letter", '
        '"job_type": "send_mail"}; {"all": true} for all jobs.'
    )
    value = PriorityInput(required=False, allow_null=True, help_text="The new priority, for set_priority alone.")
    rate = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_PER_MINUTE,
        help_text="Jobs a minute; nothing: as fast as it goes.",
    )
    stop_above = serializers.FloatField(
        required=False,
        allow_null=True,
        help_text="Stop by itself when a larger share of the jobs fails, from 0 to 1; for retry and run_now.",
    )
    try_first = serializers.BooleanField(
        required=False, default=False, help_text="Do one job, and the others when it has completed."
    )
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Only count the jobs, and say how long it would take."
    )


class OperationSerializer(StatusSerializer):
    """The fields of OperationStatus. Times are in UTC."""

    kind = OperationStatus


class EstimateSerializer(serializers.Serializer[Any]):
    """What an operation would do."""

    count = serializers.IntegerField(help_text="How many jobs it would act on now.")
    count_capped = serializers.BooleanField(
        help_text="Whether there may be more, since counting all would take too long."
    )
    eta_seconds = serializers.FloatField(help_text="How long it would take, about; of a capped count, at least.")


# The routes of operations.


class OperationViewSet(RowsView[Operation]):
    """Operations, each an action on all jobs that a filter names, worked off in the background.

    System admins see all of them, others those that they started.
    """

    queryset = Operation.objects.none()  # for the schema, which is made without the database
    lookup_field = "id"
    filter_backends = []
    pagination_class = JobsPagination

    calls = {
        "list": ViewCall("list", answers={200: OperationSerializer}),
        "create": ViewCall("cancel", NewOperationSerializer, {200: EstimateSerializer, 202: OperationSerializer}),
        "retrieve": ViewCall(answers={200: OperationSerializer}),
        **dict.fromkeys(("pause", "resume", "stop"), ViewCall("cancel", answers={200: OperationSerializer})),
    }

    @non_atomic
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with translation.override(None):  # the engine tells people what is wrong in their language, and clients never
            return super().dispatch(request, *args, **kwargs)

    def get_object(self) -> Operation:
        key = key_in(self.kwargs["id"])
        found = None if key is None else scope_of(self.request).operations().filter(pk=key).first()
        if found is None:
            raise Http404
        return found

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The operations that you may see, newest first."""
        self.get_parameters()
        page: Any = self.paginate_queryset(scope_of(request).operations()) or []
        return self.get_paginated_response(_bodies(page, request.user))

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Act on all jobs that match, or with `dry_run` only count them."""
        fields = self.get_body()
        asked = _asked(fields, request.user)
        if asked.filters.is_walked:
            count_search(request)
        if fields["dry_run"]:
            return Response(_estimate(asked, request.user))
        operation = operations.start_operation(asked, user=request.user)
        location = self.reverse_action("detail", kwargs={"id": operation.pk})
        return self._answer(operation, status.HTTP_202_ACCEPTED, headers={"Location": location})

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """How far an operation has come, and what became of its jobs."""
        return self._answer(self.get_object())

    @action(detail=True, methods=["post"])
    def pause(self, request: Any, **kwargs: Any) -> Response:
        """Pause an operation that runs. What is paused already stays so."""
        return self._switch(lambda row: set_paused("operation", row, True, user=request.user))

    @action(detail=True, methods=["post"])
    def resume(self, request: Any, **kwargs: Any) -> Response:
        """Let a paused operation go on. What runs already stays so."""
        return self._switch(lambda row: set_paused("operation", row, False, user=request.user))

    @action(detail=True, methods=["post"])
    def stop(self, request: Any, **kwargs: Any) -> Response:
        """End an operation; what was done stays done. What is stopped already stays so."""
        return self._switch(lambda row: operations.stop(row, user=request.user))

    def _switch(self, switch: Callable[[Operation], bool]) -> Response:
        self.get_body()
        operation = self.get_object()
        switch(operation)
        return self._answer(operation)

    def _answer(self, operation: Operation, status_code: int = status.HTTP_200_OK, **more: Any) -> Response:
        return Response(_bodies([operation], self.request.user)[0], status=status_code, **more)


def _bodies(found: list[Operation], user: Any) -> list[dict[str, Any]]:
    return [dict(OperationSerializer(item).data) for item in describe_operations(found, user)]


def _estimate(asked: OperationRequest, user: Any) -> dict[str, Any]:
    found = operations.estimate(asked, user=user)
    facts = {"count": found.count, "count_capped": found.count_capped, "eta_seconds": found.eta_seconds}
    return dict(EstimateSerializer(facts).data)


def _asked(given: dict[str, Any], user: Any) -> OperationRequest:
    """Return the request that a body describes. InvalidOperation names what is wrong with the filters."""
    try:
        filters = JobFilter.read(given["filters"], user)
    except InvalidFilter as error:
        raise InvalidOperation({f"filters.{name}": texts for name, texts in error.errors.items()}) from error
    if not operations.may_operate(user, filters):
        raise PermissionDenied(_("Operations are for the admins of an organization and for system admins."))
    how: dict[str, Any] = {name: given.get(name) for name in ("action", "value", "rate", "stop_above", "try_first")}
    return OperationRequest(filters=filters, **how)
