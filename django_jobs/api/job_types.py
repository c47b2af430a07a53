"""Job types over HTTP: read by who may submit them, written by system admins."""

from __future__ import annotations

from typing import Any

from django.db.models import ProtectedError
from django.http import Http404
from rest_framework import status
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from django_jobs.api.base import Call, RowsView, SystemAdminOrReadOnly
from django_jobs.api.errors import JobTypeInUse
from django_jobs.api.pagination import JobsPagination
from django_jobs.api.scope import job_types_for
from django_jobs.api.serializers import JobTypeSerializer
from django_jobs.engine.control import audit
from django_jobs.engine.control.switches import SWITCHES, set_switch, write_type
from django_jobs.engine.insight.inspection import has_jobs
from django_jobs.engine.store import database
from django_jobs.models import JobType


class JobTypeViewSet(RowsView[JobType]):
    """The kinds of jobs that you may submit. ``parameters_schema`` is a JSON Schema, or null."""

    permission_classes = [IsAuthenticated, SystemAdminOrReadOnly]
    pagination_class = JobsPagination
    filter_backends = []
    lookup_field = "type_name"
    queryset = JobType.objects.all()
    calls = {
        "list": Call("list", answers={200: JobTypeSerializer}),
        "create": Call("submit", JobTypeSerializer, {201: JobTypeSerializer}),
        "retrieve": Call(answers={200: JobTypeSerializer}),
        **dict.fromkeys(("update", "partial_update"), Call("submit", JobTypeSerializer, {200: JobTypeSerializer})),
        "destroy": Call("submit", answers={204: None}),
    }

    def get_object(self) -> JobType:
        for kind in job_types_for(self.request.user):
            if kind.pk == self.kwargs["type_name"]:
                return kind
        raise Http404

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The job types that you may submit; to system admins all of them."""
        self.get_parameters()
        page: Any = self.paginate_queryset(job_types_for(request.user))
        return self.get_paginated_response(self._read(page, many=True).data)

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """A job type, with the JSON Schema of its parameters."""
        return Response(self._read(self.get_object()).data)

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Make a job type. System admins may."""
        serializer = self._read(data=request.data)
        serializer.is_valid(raise_exception=True)

        def create() -> None:
            audit.record(request.user, [serializer.save()], audit.Act.ADDED, [{"added": {}}])

        database.in_transaction(create)
        return Response(serializer.data, status=status.HTTP_201_CREATED)

    def update(self, request: Any, *, partial: bool = False, **kwargs: Any) -> Response:
        """Change a job type. System admins may.

        What the body does not have is set to what its code declares, or else to its default.
        """
        serializer = self._read(self.get_object(), data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        self._update(serializer)
        return Response(serializer.data)

    def partial_update(self, request: Any, **kwargs: Any) -> Response:
        """Change some fields of a job type. System admins may."""
        return self.update(request, partial=True, **kwargs)

    def destroy(self, request: Any, **kwargs: Any) -> Response:
        """Delete a job type that has no jobs. System admins may."""
        kind = self.get_object()
        # This is asked first, because a deletion that is refused reads every job of the type.
        if has_jobs(job_type=kind):
            raise JobTypeInUse
        try:
            database.in_transaction(lambda: self._destroy(kind))
        except ProtectedError as error:
            raise JobTypeInUse from error
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _read(self, *given: Any, **options: Any) -> Any:
        return JobTypeSerializer(*given, context=self.get_serializer_context(), **options)

    def _update(self, serializer: Any) -> None:
        kind, user = serializer.instance, self.request.user
        given = {name: value for name, value in serializer.validated_data.items() if getattr(kind, name) != value}

        def update() -> None:
            fields = [name for name in given if name not in SWITCHES]
            for name, value in given.items():
                if name in SWITCHES:
                    set_switch(kind, name, value, user=user)
                setattr(kind, name, value)
            write_type(kind, fields)
            changed = [kind] if fields else []
            audit.record(user, changed, audit.Act.CHANGED, [{"changed": {"fields": fields}}])

        database.in_transaction(update)
        kind.refresh_from_db(using=database.alias())  # the answer tells what others changed meanwhile, too

    def _destroy(self, kind: JobType) -> None:
        audit.record(self.request.user, [kind], audit.Act.DELETED)
        kind.delete()
