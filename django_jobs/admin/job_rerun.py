"""Run again: a new job from an editable copy of another one's parameters."""

from __future__ import annotations

import json
from typing import Any, Final

from django import forms
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from django_jobs.admin.base import OwnPages, View
from django_jobs.admin.masking import json_of
from django_jobs.admin.submission_form import submit
from django_jobs.engine.job_types.masked_edits import MasksLeft, parameters_to_submit
from django_jobs.engine.job_types.masking import MASK, Names, hidden_from
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import shown_id
from django_jobs.engine.submission.rights import may_submit
from django_jobs.models import Job, JobType, get_organization_model
from django_jobs.statuses import Priority

HELP: Final = (
    f"{MASK} stands for a value that you may not read. It goes along only if you change none of the parameters; once "
    "you change one, type the hidden ones anew."
)
TYPE_IT: Final = "{place}: type this value. What {job} has there is hidden from you, and goes to no job that differs."
MAX_PLACES: Final = 20


class RunAgainForm(forms.Form):
    """Parameters and priority; type and organization are the job's own.

    ``hidden`` are the keys whose values the user may not read.
    """

    parameters = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 16, "class": "vLargeTextField djobs-code", "spellcheck": "false"}),
    )
    priority = forms.ChoiceField(choices=Priority.choices)

    def __init__(self, job: Job, hidden: Names, data: Any = None) -> None:
        shown = json_of(job.input_parameters, hidden)
        super().__init__(data, initial={"parameters": shown, "priority": job.priority})
        self.job = job
        self.hidden = hidden
        if MASK in shown and hidden:
            self.fields["parameters"].help_text = HELP

    def clean_parameters(self) -> Any:
        try:
            edited = json.loads(self.cleaned_data["parameters"] or "{}")
            return parameters_to_submit(edited, self.job.input_parameters, self.hidden)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(f"This is no JSON: {error}.") from error
        except RecursionError as error:
            raise forms.ValidationError("This is nested too deeply.") from error
        except MasksLeft as error:
            texts = [TYPE_IT.format(place=place, job=self.job.name) for place in error.places[:MAX_PLACES]]
            raise forms.ValidationError(texts) from error

    def clean_priority(self) -> int:
        return int(self.cleaned_data["priority"])


class RunAgain(OwnPages):
    """The page behind the button Run again."""

    def rerun_views(self) -> dict[str, tuple[str, View]]:
        """Return the route and the view of the page, by name."""
        return {"run_again": ("<path:object_id>/run-again/", self._run_again)}

    def may_run_again(self, request: HttpRequest, job: Job) -> bool:
        """Return whether the user may submit a job of this type for this organization."""
        tenant, kind = _tenant_of(job), JobType.primary.filter(pk=job.job_type_id).first()
        return tenant is not None and kind is not None and may_submit(request.user, tenant, kind)

    def _run_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        job = self.find(request, object_id) if self.has_view_permission(request) else None
        if not self.has_view_permission(request):
            raise PermissionDenied
        if job is None:
            return self.gone(request, object_id)
        form = RunAgainForm(job, hidden_from(request.user), request.POST if request.method == "POST" else None)
        made = self._submit(request, job, form) if form.is_valid() else None
        if made is not None:
            self.remember(request, [made], f"Run again of {job.name}.", ADDITION)
            self.remember(request, [job], f"Run again as {made.name}.")
            self.message_user(request, f"{made.name} was submitted, a copy of {job.name}.")
            return self.go_to(made.pk)
        facts = [("Type", job.job_type_id), ("Organization", shown_id(job))]
        title = f"Run {job.name} again"
        return self.form_page(request, form, title, facts, back_url=self.url_of("change", job.pk))

    @staticmethod
    def _submit(request: HttpRequest, job: Job, form: RunAgainForm) -> Job | None:
        values = form.cleaned_data
        return submit(form, job.job_type_id, _tenant_of(job), values["parameters"], values["priority"], request)


def _tenant_of(job: Job) -> Any:
    """Return the job's organization; None if it was deleted."""
    return database.rows(get_organization_model()).filter(pk=job.organization_id).first()
