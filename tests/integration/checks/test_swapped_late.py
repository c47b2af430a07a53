"""The organization model is chosen before the first migrate; a later change is found."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from pytest_django import DjangoDbBlocker

from django_jobs.engine import organizations
from django_jobs.engine.insight import problems
from django_jobs.models import Membership
from tests.support import verbs
from tests.support.checks import checked


@pytest.fixture
def _swapped(settings: Any) -> None:
    settings.DJANGO_JOBS_ORGANIZATION_MODEL = "auth.Group"


def test_the_model_of_the_first_migrate_is_fine() -> None:
    assert checked("E019") == []


@pytest.mark.usefixtures("_swapped")
def test_another_model_is_found_with_what_to_do() -> None:
    (message,) = checked("E019")
    assert message.id == "django_jobs.E019"
    assert "'auth.Group'" in message.msg
    assert "'django_jobs_organization'" in message.msg
    assert message.hint


@pytest.mark.usefixtures("_swapped")
@pytest.mark.parametrize("databases", [[], ["other"]])
def test_a_check_without_the_database_does_not_ask_it(databases: Any, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.block():
        found = run_checks(tags=["django_jobs"], databases=databases)
    assert [message.id for message in found] == ["django_jobs.E003"]


def test_a_database_that_was_not_migrated_yet_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Membership._meta, "db_table", "not_there_yet")
    assert verbs.swapped_from() is None


@pytest.mark.usefixtures("_swapped")
def test_jobs_check_tells_of_it() -> None:
    (found,) = problems._examine_tenants()
    assert (found.level, found.subject) == ("PROBLEM", "organizations")


@pytest.mark.usefixtures("_swapped")
def test_check_and_migrate_refuse_it(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.Everything"}
    with pytest.raises(CommandError, match="E019"):
        call_command("check", databases=["default"])


def test_a_system_organization_is_asked_for_where_the_host_makes_its_row(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": "SYSTEM"}
    assert checked("W042") == []
    settings.DJANGO_JOBS_ORGANIZATION_MODEL = "auth.Group"
    (message,) = checked("W042")
    assert message.id == "django_jobs.W042"
    Group.objects.create(name="SYSTEM")
    assert checked("W042") == []


def test_names_are_compared_without_schema_and_quotes() -> None:
    assert organizations._plain('"crm"."Company"') == "company"
