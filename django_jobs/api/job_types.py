"""Job types over HTTP: read by who may submit them, written by system admins."""

from __future__ import annotations

from typing import Any

from django.db.models import ProtectedError
from django.http import Http404
from rest_framework import mixins
from rest_framework.permissions import IsAuthenticated
from rest_framework.viewsets import GenericViewSet

from django_jobs.api.base import JobsView, SystemAdminOrReadOnly
from django_jobs.api.errors import JobTypeInUse
from django_jobs.api.fields import check_parameters
from django_jobs.api.pagination import JobsPagination
from django_jobs.api.scope import job_types_for
from django_jobs.api.serializers import JobTypeSerializer
from django_jobs.engine.control import audit
from django_jobs.engine.control.switches import SWITCHES, set_switch, write_type
from django_jobs.engine.insight.inspection import has_jobs
from django_jobs.engine.store import database
from django_jobs.models import JobType


class JobTypeViewSet(
    JobsView,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    GenericViewSet[JobType],
):
    """The kinds of jobs that you may submit. ``parameters_schema`` is a JSON Schema, or null."""

    permission_classes = [IsAuthenticated, SystemAdminOrReadOnly]
    serializer_class = JobTypeSerializer
    pagination_class = JobsPagination
    filter_backends = []
    lookup_field = "type_name"
    lookup_value_regex = "[^/]+"
    queryset = JobType.objects.all()

    def throttle_scope_of(self, request: Any) -> str:
        return {"list": "list", "retrieve": "status"}.get(self.action or "", "submit")

    def filter_queryset(self, queryset: Any) -> Any:
        """Return the types that the user may submit. The host's policy decides, so this is a list and no queryset."""
        check_parameters(self.request.query_params, ["limit", "offset", "format"])
        return job_types_for(self.request.user)

    def get_object(self) -> JobType:
        for kind in job_types_for(self.request.user):
            if kind.pk == self.kwargs["type_name"]:
                return kind
        raise Http404

    def perform_create(self, serializer: Any) -> None:
        def create() -> None:
            audit.record(self.request.user, [serializer.save()], audit.Act.ADDED, [{"added": {}}])

        database.in_transaction(create)

    def perform_update(self, serializer: Any) -> None:
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

    def perform_destroy(self, instance: JobType) -> None:
        # This is asked first, because a deletion that is refused reads every job of the type.
        if has_jobs(job_type=instance):
            raise JobTypeInUse
        try:
            database.in_transaction(lambda: self._destroy(instance))
        except ProtectedError as error:
            raise JobTypeInUse from error

    def _destroy(self, kind: JobType) -> None:
        audit.record(self.request.user, [kind], audit.Act.DELETED)
        kind.delete()
