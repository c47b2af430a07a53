from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from django_jobs.admin.base import SystemAdminWrites
from django_jobs.engine.inspection import has_jobs
from django_jobs.models import JobType


@admin.register(JobType)
class JobTypeAdmin(SystemAdminWrites):
    list_display = (
        "type_name",
        "display_name",
        "handler_method",
        "default_priority",
        "default_timeout",
        "max_retries",
        "is_enabled",
        "is_paused",
    )
    list_filter = ("is_enabled", "is_paused")
    search_fields = ("type_name", "display_name", "handler_method")
    ordering = ("type_name",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Its name is its id: saving another one would make another type.
        return ("type_name",) if obj is not None else ()

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> Any:
        """A type with jobs is protected; asked by EXISTS, since Django's collector would load every job."""
        types = list(objs)
        protected = [f"{kind.type_name} has jobs; disable it instead." for kind in types if has_jobs(job_type=kind)]
        return [str(kind) for kind in types], {JobType._meta.verbose_name_plural: len(types)}, set(), protected
