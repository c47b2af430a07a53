"""A submission as a form: for which organization and with which parameters. Refusals stand beside their fields."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django import forms
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.base import is_system_admin
from django_jobs.admin.formatting import status_word
from django_jobs.admin.widgets import DatalistInput
from django_jobs.conf import jobs_settings
from django_jobs.engine.access import find_organization_pk, organizations_seen_by
from django_jobs.engine.job_types import types
from django_jobs.engine.store import database
from django_jobs.engine.submission.submit import submit_job
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobNotFound, JobsError
from django_jobs.models import Job, JobType, get_organization_model
from django_jobs.statuses import Priority
from django_jobs.texts import code_of, told, translated

logger = logging.getLogger("django_jobs")

PREFIX: Final = "p-"
MAX_OFFERED: Final = 200
SAME_WORK: Final = gettext_lazy(
    "The same work was submitted as {job} ({status}). "
    "Change the parameters, or wait until the deduplication window of the type is over."
)


class SubmissionForm(forms.Form):
    """A submission of one job type: one form field for each of its serializer's, or one for the whole JSON object."""

    organization = forms.CharField(max_length=140, label=gettext_lazy("Organization"))
    priority = forms.ChoiceField(required=False, label=gettext_lazy("Priority"))

    def __init__(self, request: HttpRequest, kind: JobType, data: Any = None) -> None:
        super().__init__(data)
        self.request = request
        self.kind = kind
        offered = organization_ids(request)
        self.fields["organization"].widget = DatalistInput(offered, attrs={"class": "vTextField"})
        if len(offered) == 1:
            self.fields["organization"].initial = offered[0]
        default = type_default(kind)
        self.fields["priority"].choices = [("", default), *Priority.choices]  # type: ignore[attr-defined]
        self.serializer_fields = serializer_fields_of(kind)
        self.fields.update(parameter_fields(self.serializer_fields))

    def clean_organization(self) -> Any:
        """Return the organization, if the user may know of it."""
        try:
            pk = find_organization_pk(self.cleaned_data["organization"], self.request.user)
        except JobNotFound as error:
            raise forms.ValidationError(_("There is no such organization."), code="unknown_organization") from error
        return database.rows(get_organization_model()).get(pk=pk)

    def parameters(self) -> dict[str, Any]:
        """Return what was typed as an API client would send it; fields that were left empty are left out."""
        return typed_parameters(self, self.serializer_fields)

    def submit(self) -> Job | None:
        """Submit the job and return it. Return None if the engine refused it; then the form says why."""
        values = self.cleaned_data
        priority = int(values["priority"]) if values["priority"] else None
        return submit(self, self.kind.pk, values["organization"], self.parameters(), priority, self.request)


def type_default(kind: JobType) -> str:
    """Return the choice of a form that leaves the priority to the type."""
    return _("%(priority)s (the type's)") % {"priority": Priority(kind.default_priority).label}


def organization_ids(request: HttpRequest) -> list[str]:
    """Return the ids of the first organizations that this user may submit for. Others can be typed."""
    seen = None if is_system_admin(request) else organizations_seen_by(request.user)
    rows = database.rows(get_organization_model()) if seen is None else seen
    field = jobs_settings.ORGANIZATION_ID_FIELD
    return [str(name) for name in rows.order_by(field).values_list(field, flat=True)[:MAX_OFFERED]]


def serializer_fields_of(kind: JobType) -> dict[str, Any] | None:
    """Return the fields of the type's serializer; None if it has no serializer, or one that names no fields."""
    declaration = types.declaration_of(kind.pk)
    if declaration is None or declaration.serializer is None:
        return None
    from django_jobs.admin.parameter_fields import accepted_fields

    try:
        return accepted_fields(declaration.serializer())
    except Exception:  # the host's code
        logger.exception("event=no_parameters_form job_type=%s", kind.pk)
        return None


def parameter_fields(serializer_fields: dict[str, Any] | None) -> dict[str, forms.Field]:
    from django_jobs.admin.parameter_fields import form_field

    if serializer_fields is None:
        return {"parameters": _whole_object()}
    return {PREFIX + name: form_field(name, field) for name, field in serializer_fields.items()}


def _whole_object() -> forms.Field:
    from django_jobs.admin.parameter_fields import JSONValueField

    return JSONValueField(required=False, initial="{}", label=_("Parameters"), help_text=_("An object in JSON."))


def typed_parameters(form: forms.Form, serializer_fields: dict[str, Any] | None) -> dict[str, Any]:
    """Return the parameters that were typed into a form, as an API client would send them.

    Fields that were left empty are left out.
    """
    from django_jobs.admin.parameter_fields import is_empty, json_value

    if serializer_fields is None:
        return form.cleaned_data["parameters"] or {}
    found = {}
    for name, field in serializer_fields.items():
        value = json_value(form.cleaned_data[PREFIX + name])
        if not is_empty(value):
            found[name] = value
        elif field.required:
            found[name] = None if field.allow_null else value
    return found


def add_errors(form: forms.Form, errors: Mapping[str, Iterable[str]]) -> None:
    """Put the engine's errors beside the fields of a form that they are about."""
    for key, texts in errors.items():
        name, rest = place(form, key.split("."))
        for text in texts:
            shown = f"{rest}: {translated(text)}" if rest else translated(text)
            form.add_error(name, forms.ValidationError(shown, code=code_of(text)))


def submit(
    form: forms.Form, job_type: str, tenant: Any, parameters: Any, priority: int | None, request: HttpRequest
) -> Job | None:
    """Submit a job as the request's user and return it.

    Return None if the engine refuses it; then the form says why.
    """
    try:
        return submit_job(job_type, tenant, parameters, priority, user=request.user)
    except InvalidSubmission as refusal:
        add_errors(form, refusal.errors)
    except DuplicateJob as refusal:
        if not refusal.is_visible:
            form.add_error(None, forms.ValidationError(told(refusal), code=refusal.code))
            return None
        site = request.resolver_match.namespace if request.resolver_match else "admin"
        address = reverse(f"{site}:django_jobs_job_change", args=(refusal.existing.pk,))
        link = format_html('<a href="{}">{}</a>', address, refusal.existing.name)
        text = format_html(str(SAME_WORK), job=link, status=status_word(refusal.existing.status))
        form.add_error(None, forms.ValidationError(text, code=refusal.code))
    except JobsError as refusal:
        form.add_error(None, forms.ValidationError(told(refusal), code=refusal.code))
    return None


def place(form: forms.Form, path: list[str]) -> tuple[str | None, str]:
    """Return the form field that a refusal is about, and where inside of it."""
    first, *inner = path
    if first == "parameters" and inner and PREFIX + inner[0] in form.fields:
        return PREFIX + inner[0], ".".join(inner[1:])
    if first in form.fields:
        return first, ".".join(inner)
    return None, ".".join(path)
