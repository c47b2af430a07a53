"""Between two tests the database is emptied, of few rows and of many in ways that differ, and is as it was at first."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command

from django_jobs.models import JobType
from tests.support import emptying
from tests.support.brokers import running_job
from tests.support.factories import make_user

pytestmark = pytest.mark.usefixtures("broker")
MODELS = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]


def all_rows() -> dict[str, list[Any]]:
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in MODELS}


@pytest.mark.parametrize("few", [0, emptying.FEW_ROWS])
def test_nothing_is_left_but_what_the_migrations_made(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    before = all_rows()
    assert {"auth.Permission", "django_jobs.JobType"} <= {label for label, rows in before.items() if rows}
    monkeypatch.setattr(emptying, "FEW_ROWS", few)
    job, _ = running_job()
    make_user(member_of=[job.organization])
    JobType.objects.filter(pk="fax_send").update(is_paused=True)
    JobType.objects.filter(pk="email_report").delete()
    empty()
    assert all_rows() == before
    ContentType.objects.filter(model="job").update(model="work")
    empty()
    assert all_rows() == before
    Permission.objects.filter(codename="view_job").delete()
    empty()
    assert all_rows() == before
    empty()
    assert all_rows() == before


def empty() -> None:
    """As Django does after each test that commits."""
    call_command("flush", verbosity=0, interactive=False, reset_sequences=False, allow_cascade=False)
