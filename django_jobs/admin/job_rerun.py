"""Run again: a new job from an editable copy of another one's parameters."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from django_jobs.admin.base import OwnPages, View
from django_jobs.admin.job_columns import type_of
from django_jobs.admin.rerun_forms import FieldsForm, RerunForm, make_form
from django_jobs.admin.submission_form import submit
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import shown_id
from django_jobs.engine.submission.targets import may_submit
from django_jobs.models import Job, get_organization_model

#: The parameter of the address that asks for the parameters as JSON, where the type has fields for them.
AS_JSON: Final = "json"


class RunAgain(OwnPages):
    """The page behind the button Run again."""

    def rerun_views(self) -> dict[str, tuple[str, View]]:
        """Return the route and the view of the page, by name."""
        return {"run_again": ("<path:object_id>/run-again/", self._run_again)}

    def may_run_again(self, request: HttpRequest, job: Job) -> bool:
        """Return whether the user may submit a job of this type for this organization."""
        tenant, kind = _tenant_of(job), type_of(job)
        return tenant is not None and kind is not None and may_submit(request.user, tenant, kind)

    def _run_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        job = self.find(request, object_id) if self.has_view_permission(request) else None
        if not self.has_view_permission(request):
            raise PermissionDenied
        if job is None:
            return self.gone(request, object_id)
        data = request.POST if request.method == "POST" else None
        form = make_form(job, type_of(job), hidden_from(request.user), data, as_json=AS_JSON in request.GET)
        made = self._submit(request, job, form) if form.is_valid() else None
        if made is not None:
            self.remember(request, [made], f"Run again of {job.name}.", ADDITION)
            self.remember(request, [job], f"Run again as {made.name}.")
            names = {"made": made.name, "job": job.name}
            text = _("%(made)s was submitted, a copy of %(job)s.") % names
            self.message_user(request, text, extra_tags="submitted")
            return self.go_to(made.pk)
        facts = [(_("Type"), job.job_type_id), (_("Organization"), shown_id(job))]
        title = _("Run %(job)s again") % {"job": job.name}
        json_url = f"?{AS_JSON}=1" if isinstance(form, FieldsForm) else ""
        return self.form_page(request, form, title, facts, back_url=self.url_of("change", job.pk), json_url=json_url)

    @staticmethod
    def _submit(request: HttpRequest, job: Job, form: RerunForm) -> Job | None:
        values = form.cleaned_data
        return submit(form, job.job_type_id, _tenant_of(job) or "", values["parameters"], values["priority"], request)


def _tenant_of(job: Job) -> Any:
    """Return the job's organization; None if it was deleted."""
    return database.rows(get_organization_model()).filter(pk=job.organization_id).first()
