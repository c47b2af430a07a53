"""Looking at the admin's monitor, and the counts that its charts are made of."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_jobs.engine.insight import activity
from django_jobs.engine.store import histograms
from django_jobs.engine.store.aggregates import Place, Tally, start_of
from django_jobs.models import JobType, Organization, Span
from tests.support.admin import text


def monitor(client: Client, **query: str) -> Any:
    """What the page was made of."""
    response = client.get(reverse("admin:django_jobs_monitor"), query)
    assert response.status_code == 200
    return response.context


def page(client: Client, **query: str) -> str:
    return text(client, reverse("admin:django_jobs_monitor"), **query)


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
        tally.ran(seconds, histograms.class_of(seconds))
    for name, number in measures.items():
        tally.count(name, number)
    at = start_of(Span.MINUTE, timezone.now() - dt.timedelta(seconds=ago))
    activity.add({Place(int(Span.MINUTE), at, kind.pk, organization.pk): tally})
