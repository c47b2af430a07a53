"""The members' page of the example project, and a report that is asked for on it."""

from __future__ import annotations

from typing import Any, Final

from django_jobs.models import Organization

JANUARY: Final = {
    "job_type": "pdf_generation",
    "pdf_generation-first_day": "2025-01-01",
    "pdf_generation-last_day": "2025-01-31",
}


def page_of(organization: Organization) -> str:
    return f"/shop/{organization.name}/"


def text_of(response: Any) -> str:
    return str(response.content.decode())
