"""The list of pages that the browser looks at: it leaves out no page of the admin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from django.contrib import admin
from django.urls import resolve

from django_jobs.models import Organization
from tests.support.admin import VIEWS
from tests.support.console_pages import Console
from tests.support.factories import make_user

#: Addresses that are no pages, by the reason.
NO_PAGES: Final = {
    "parts of a page that are open already": {
        "monitor_live",
        "monitor_navigation",
        "alert_live",
        "job_live",
        "job_under_way",
    },
    "an answer to what is typed": {"schedule_preview", "job_all_time"},
    "a file": {"job_output"},
    "takes only what a button posts, and leads on to a page": {
        *(f"job_{verb}_filter" for verb in ("save", "delete")),
        "failure_act",
        *(f"jobtype_{verb}" for verb in ("pause", "resume", "enable", "disable")),
        *(f"operation_{verb}" for verb in ("pause", "resume", "stop", "rate")),
        *(f"schedule_{verb}" for verb in ("pause", "resume", "take-over")),
        *(f"worker_{verb}" for verb in ("quiet", "resume")),
    },
    "the address of another name": {"monitor"},
    "refused to all, since only the engine writes these": {
        *(f"{model}_add" for model in ("job", "batch", "executionlog", "operation")),
        *(f"{model}_delete" for model in ("job", "batch", "executionlog", "operation")),
    },
}


def names() -> Iterator[str]:
    """The names of all addresses of the app's admin."""
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label == "django_jobs":
            patterns: list[Any] = model_admin.get_urls()
            yield from (pattern.name.removeprefix("django_jobs_") for pattern in patterns if pattern.name)


@pytest.mark.django_db
@pytest.mark.usefixtures("broker")
def test_every_address_is_looked_at_or_is_no_page(organization: Organization) -> None:
    people = [make_user("root", is_superuser=True), make_user("mia", admin_of=[organization], permissions=VIEWS)]
    found = [resolve(urlsplit(look.address).path).url_name or "" for look in Console(organization, *people).looks()]
    seen = {name.removeprefix("django_jobs_") for name in found}
    no_pages = set().union(*NO_PAGES.values())
    assert set(names()) - seen == no_pages
