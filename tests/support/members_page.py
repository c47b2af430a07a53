"""The members' page of the example project, and the report that a button starts there."""

from __future__ import annotations

from typing import Any, Final

from django_jobs.models import Organization

#: What the button sends that starts a report.
REPORT: Final = {"job_type": "pdf_generation"}


def page_of(organization: Organization) -> str:
    return f"/shop/{organization.name}/"


def text_of(response: Any) -> str:
    return str(response.content.decode())
