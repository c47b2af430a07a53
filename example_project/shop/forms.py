"""The jobs that members may start from the page. The engine's refusals are shown at the fields that they concern."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import FileExtensionValidator
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs import submit_job
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, QueueFull, RateLimited
from django_jobs.models import Job, Organization
from example_project.shop.models import Order, Upload
from example_project.shop.reports import last_full_month

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

MAX_UPLOAD_BYTES = 20 * 1024 * 1024


class JobForm(forms.Form):
    """A form that submits a job. ``earlier`` is the job that makes this one a duplicate."""

    job_type: ClassVar[str]
    title: ClassVar[_StrPromise]
    #: What the button says.
    action: ClassVar[_StrPromise]
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
            self.add_error(None, _("The same was started a moment ago. Follow that one, or change something here."))
        except QueueFull as refusal:
            self.add_error(None, come_again(_("Too many jobs of your organization are waiting."), refusal.retry_after))
        except RateLimited as refusal:
            self.add_error(None, come_again(_("This was started too often in a short time."), refusal.retry_after))
        except PermissionDenied as refusal:
            self.add_error(None, str(refusal))
        return None

    def _show(self, errors: dict[str, list[str]]) -> None:
        for name, texts in errors.items():
            self.add_error(self.field_of.get(name), texts)


def come_again(problem: str, seconds: float) -> list[str]:
    """Return the problem, and when to try again."""
    count = math.ceil(seconds)
    advice = ngettext("Try again in %(count)d second.", "Try again in %(count)d seconds.", count)
    return [problem, advice % {"count": count}]


def date_input() -> forms.DateInput:
    return forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


class ReportForm(JobForm):
    job_type = prefix = "pdf_generation"
    title, action = gettext_lazy("Sales report"), gettext_lazy("Make the PDF")
    field_of: ClassVar = {
        "parameters.date_range": "last_day",
        "parameters.date_range.0": "first_day",
        "parameters.date_range.1": "last_day",
    }

    first_day = forms.DateField(
        label=gettext_lazy("From"),
        widget=date_input(),
        error_messages={"required": gettext_lazy("Choose the first day.")},
    )
    last_day = forms.DateField(
        label=gettext_lazy("To"),
        help_text=gettext_lazy("At most a year after the first day."),
        widget=date_input(),
        error_messages={"required": gettext_lazy("Choose the last day.")},
    )

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
    title, action = gettext_lazy("Import customers"), gettext_lazy("Import")
    field_of: ClassVar = {"parameters.upload": "file"}

    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        help_text=gettext_lazy("At most 20 MB, with the columns name, email and city in its first line."),
        validators=[FileExtensionValidator(["csv"], gettext_lazy("Choose a file whose name ends in .csv."))],
        error_messages={
            "required": gettext_lazy("Choose a CSV file."),
            "empty": gettext_lazy("The file is empty. Choose one with customers."),
        },
        widget=forms.ClearableFileInput(attrs={"accept": ".csv"}),
    )
    upload: Upload | None = None

    def clean_file(self) -> UploadedFile[Any]:
        file: UploadedFile[Any] = self.cleaned_data["file"]
        if (file.size or 0) > MAX_UPLOAD_BYTES:
            limit = MAX_UPLOAD_BYTES // 1024**2
            raise forms.ValidationError(
                _("The file has more than %(limit)d MB. Split it, and import one part after the other."),
                params={"limit": limit},
            )
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
    title, action = gettext_lazy("Publish the catalog"), gettext_lazy("Publish")
    field_of: ClassVar = {"parameters.seconds": "seconds"}

    seconds = forms.IntegerField(
        label=gettext_lazy("Seconds for each product"),
        initial=3,
        min_value=1,
        max_value=20,
        help_text=gettext_lazy("So long does the pretended marketplace take: there is time to cancel."),
    )

    def parameters(self) -> dict[str, Any]:
        return {"seconds": self.cleaned_data["seconds"]}


FORMS: tuple[type[JobForm], ...] = (ReportForm, ImportForm, PublishForm)
