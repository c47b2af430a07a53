"""Looking at the admin's monitor, and the counts that its charts are made of."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_jobs.models import JobType, Organization, Span
from tests.support import verbs
from tests.support.admin import text
from tests.support.verbs import ActivityPlace, Tally


def monitor(client: Client, **query: str) -> Any:
    """What the page was made of."""
    response = client.get(reverse("admin:django_jobs_monitor_changelist"), query)
    assert response.status_code == 200
    return response.context


def page(client: Client, **query: str) -> str:
    return text(client, reverse("admin:django_jobs_monitor_changelist"), **query)


def tiles(client: Client, **query: str) -> dict[str, str]:
    """The numbers at the top, by their codes."""
    return {tile.code: str(tile.value) for tile in monitor(client, **query)["tiles"]}


def noticed(client: Client) -> dict[str, str]:
    """What is wrong: the texts of the notices, by their codes."""
    found: dict[str, str] = {}
    for notice in monitor(client)["notices"]:
        found[notice.code] = f"{found.get(notice.code, '')} {notice.text}".strip()
    return found


def count(kind: JobType, organization: Organization, ago: float = 0, **measures: Any) -> None:
    """What the scheduler would have counted so many seconds ago."""
    tally = Tally(organization_name=organization.name)
    for seconds in measures.pop("ran", []):
        tally.measure("run", seconds, verbs.histogram_class(seconds))
    for name, number in measures.items():
        tally.count(name, number)
    at = verbs.start_of_span(Span.MINUTE, timezone.now() - dt.timedelta(seconds=ago))
    verbs.add_activity({ActivityPlace(int(Span.MINUTE), at, kind.pk, organization.pk): tally})
