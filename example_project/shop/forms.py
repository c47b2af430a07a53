"""The jobs that members may start from the page. The engine's refusals are shown at the fields that they concern."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import FileExtensionValidator
from django.db import transaction

from django_jobs import submit_job
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, QueueFull, RateLimited
from django_jobs.models import Job, Organization
from example_project.shop.models import Order, Upload
from example_project.shop.reports import last_full_month

MAX_UPLOAD_BYTES = 20 * 1024 * 1024


class JobForm(forms.Form):
    """A form that submits a job. ``earlier`` is the job that makes this one a duplicate."""

    job_type: ClassVar[str]
    #: Which field shows the engine's errors about which parameter; all others are shown above the form.
    field_of: ClassVar[dict[str, str]] = {}
    earlier: Job | None = None

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization

    def parameters(self) -> dict[str, Any]:
        raise NotImplementedError

    def submit(self, user: Any) -> Job | None:
        """Return the new job. None if it was refused; then the form has errors."""
        if not self.is_valid():
            return None
        try:
            with transaction.atomic():
                return submit_job(self.job_type, self.organization, self.parameters(), user=user)
        except InvalidSubmission as refusal:
            self._show(refusal.errors)
        except DuplicateJob as refusal:
            self.earlier = refusal.existing if refusal.is_visible else None
            self.add_error(None, "The same was started a moment ago.")
        except (QueueFull, RateLimited) as refusal:
            self.add_error(None, f"{refusal} Try again in {math.ceil(refusal.retry_after)} s.")
        except PermissionDenied as refusal:
            self.add_error(None, str(refusal))
        return None

    def _show(self, errors: dict[str, list[str]]) -> None:
        for name, texts in errors.items():
            self.add_error(self.field_of.get(name), texts)


def date_input() -> forms.DateInput:
    return forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


class ReportForm(JobForm):
    job_type = prefix = "pdf_generation"
    field_of: ClassVar = {
        "parameters.date_range": "last_day",
        "parameters.date_range.0": "first_day",
        "parameters.date_range.1": "last_day",
    }

    first_day = forms.DateField(label="From", widget=date_input())
    last_day = forms.DateField(label="To", widget=date_input())

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, organization=organization, **kwargs)
        if not self.is_bound:
            month = last_full_month(Order.objects.filter(organization=organization))
            self.initial = {"first_day": month.start, "last_day": month.end}

    def parameters(self) -> dict[str, Any]:
        days = self.cleaned_data
        return {"template": "monthly_report", "date_range": [days["first_day"], days["last_day"]]}


class ImportForm(JobForm):
    job_type = prefix = "csv_import"
    field_of: ClassVar = {"parameters.upload": "file"}

    file = forms.FileField(
        label="CSV file",
        help_text="With the columns name, email and city.",
        validators=[FileExtensionValidator(["csv"])],
        widget=forms.ClearableFileInput(attrs={"accept": ".csv"}),
    )
    upload: Upload | None = None

    def clean_file(self) -> UploadedFile[Any]:
        file: UploadedFile[Any] = self.cleaned_data["file"]
        if (file.size or 0) > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(f"It has more than {MAX_UPLOAD_BYTES // 1024**2} MB.")
        return file

    def parameters(self) -> dict[str, Any]:
        self.upload = Upload(organization=self.organization)
        self.upload.file.save(self.cleaned_data["file"].name, self.cleaned_data["file"])
        return {"upload": self.upload.pk}

    def submit(self, user: Any) -> Job | None:
        job = super().submit(user)
        if job is None and self.upload is not None:
            # The row went with the transaction.
            self.upload.file.delete(save=False)
        return job


class PublishForm(JobForm):
    job_type = prefix = "catalog_publish"
    field_of: ClassVar = {"parameters.seconds": "seconds"}

    seconds = forms.IntegerField(
        label="Seconds for each product",
        initial=3,
        min_value=1,
        max_value=20,
        help_text="So long does the pretended marketplace take: there is time to cancel.",
    )

    def parameters(self) -> dict[str, Any]:
        return {"seconds": self.cleaned_data["seconds"]}


FORMS: tuple[type[JobForm], ...] = (ReportForm, ImportForm, PublishForm)
