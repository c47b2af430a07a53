"""The jobs that members may start from the page. The engine's refusals are shown in the form."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import transaction

from django_jobs import submit_job
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, QueueFull, RateLimited
from django_jobs.models import Job, Organization
from example_project.shop.models import last_full_month


class JobForm(forms.Form):
    """A form that submits a job."""

    job_type: ClassVar[str]
    title: ClassVar[str]
    #: What the button says.
    action: ClassVar[str]

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization

    def parameters(self) -> dict[str, Any]:
        return self.cleaned_data

    def submit(self, user: Any) -> Job | None:
        """Return the new job. None if it was refused; then the form has errors."""
        if not self.is_valid():
            return None
        try:
            with transaction.atomic():
                return submit_job(self.job_type, self.organization, self.parameters(), user=user)
        except InvalidSubmission as refusal:
            self.add_error(None, [text for texts in refusal.errors.values() for text in texts])
        except DuplicateJob:
            self.add_error(None, "The same was started a moment ago. Follow that one, or change something here.")
        except (QueueFull, RateLimited) as refusal:
            self.add_error(None, f"Too much was started. Try again in {refusal.retry_after:.0f} seconds.")
        except PermissionDenied as refusal:
            self.add_error(None, str(refusal))
        return None


def day_field(label: str) -> forms.DateField:
    return forms.DateField(label=label, widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}))


class ReportForm(JobForm):
    job_type = prefix = "pdf_generation"
    title, action = "Sales report", "Make the PDF"

    first_day = day_field("First day")
    last_day = day_field("Last day")

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, organization=organization, **kwargs)
        self.initial["first_day"], self.initial["last_day"] = last_full_month(organization.pk)

    def parameters(self) -> dict[str, Any]:
        return {"date_range": [f"{self.cleaned_data['first_day']}", f"{self.cleaned_data['last_day']}"]}


class StatementsForm(JobForm):
    job_type = prefix = "bulk_statements"
    title, action = "Statements of the last month", "Write them"


class PublishForm(JobForm):
    job_type = prefix = "catalog_publish"
    title, action = "Catalog", "Publish"

    seconds = forms.IntegerField(
        label="Seconds for each product", initial=3, help_text="The marketplace is slow: there is time to cancel."
    )


FORMS: tuple[type[JobForm], ...] = (ReportForm, StatementsForm, PublishForm)
