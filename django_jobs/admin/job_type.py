from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from django_jobs.admin.base import SystemAdminWrites
from django_jobs.engine.handlers import path_problem
from django_jobs.engine.inspection import has_jobs
from django_jobs.models import JobType

if TYPE_CHECKING:
    BaseForm = forms.ModelForm[JobType]
else:
    BaseForm = forms.ModelForm


class JobTypeForm(BaseForm):
    def clean_handler_method(self) -> str:
        path = str(self.cleaned_data["handler_method"])
        # One that was accepted once stays: a type must be pausable while its handler cannot be loaded.
        problem = path_problem(path) if "handler_method" in self.changed_data else None
        if problem:
            raise ValidationError(problem)
        return path


@admin.register(JobType)
class JobTypeAdmin(SystemAdminWrites):
    form = JobTypeForm
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
