"""The admin's pages, asked for as a system admin's browser does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from django_jobs.models import Job
from django_jobs.statuses import Status


def _client() -> Client:
    user, _ = get_user_model()._default_manager.get_or_create(
        username="bench-admin", defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(user)
    return client


def admin_pages() -> dict[str, Callable[[], Any]]:
    """What to ask for, by what is printed for it."""
    client = _client()

    def page(name: str, *arguments: Any, **query: Any) -> Callable[[], Any]:
        url = reverse(f"admin:{name}", args=arguments)

        def ask() -> None:
            response = client.get(url, query)
            if response.status_code != 200:
                raise RuntimeError(f"{url} answered {response.status_code}")

        return ask

    middle = Job.objects.order_by("pk")[Job.objects.count() // 2]
    return {
        "admin monitor": page("django_jobs_monitor_changelist"),
        "admin monitor 30 days": page("django_jobs_monitor_changelist", range="month"),
        "admin jobs": page("django_jobs_job_changelist"),
        "admin jobs Dead Letter": page("django_jobs_job_changelist", status=Status.DEAD_LETTER),
        "admin job": page("django_jobs_job_change", middle.pk),
        "admin failures": page("django_jobs_failure_changelist"),
    }
