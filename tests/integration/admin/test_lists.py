"""What the lists share: cells that know their column, translated titles, and texts that keep their direction."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.contrib.staticfiles import finders
from django.test import Client
from django.utils import translation
from django.utils.text import capfirst

from django_jobs import schedule_job
from django_jobs.models import ExecutionLog, JobType, Operation, Organization
from tests.support import verbs
from tests.support.admin import text, url
from tests.support.factories import make_job_type

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


def test_each_cell_has_the_name_of_its_column_for_phones(root: Client) -> None:
    make_job_type(type_name="letters", display_name='"><td class="field-none">')
    page = text(root, url("jobtype", "changelist"), q="letters")
    for name in ("type_name", "title", "time_limit"):
        label = capfirst(str(label_for_field(name, JobType, admin.site.get_model_admin(JobType))))
        assert f' data-label="{label}" class="field-{name}' in page
    assert page.count("data-label") == 8


def by_hand(kind: JobType) -> str:
    return kind.pk


def test_a_function_as_a_column_of_a_host_has_its_name_too(monkeypatch: pytest.MonkeyPatch, root: Client) -> None:
    make_job_type()
    model_admin: Any = admin.site.get_model_admin(JobType)
    monkeypatch.setattr(model_admin, "list_display", ("type_name", by_hand, lambda kind: kind.pk))
    page = text(root, url("jobtype", "changelist"))
    assert ' data-label="By hand" class="field-by_hand' in page
    assert 'class="field-lambda' in page


def test_the_style_sheet_of_lists_names_columns_that_there_are() -> None:
    model_admins = [item for model, item in admin.site._registry.items() if model._meta.app_label == "django_jobs"]
    columns = {name for item in model_admins for name in item.list_display if isinstance(name, str)}
    path = finders.find("django_jobs/lists.css")
    named = set(re.findall(r"\.field-(\w+)", Path(str(path)).read_text(encoding="utf-8")))
    assert named - columns == set()


def test_the_filters_of_operations_have_translated_titles(root: Client, bracketed: None) -> None:
    filters = root.get(url("operation", "changelist")).context["cl"].filter_specs
    assert [(title[0], title[-1]) for item in filters if (title := str(item.title))] == [("[", "]")] * 2


def test_a_rule_without_words_keeps_its_order_in_a_text_from_right_to_left(
    root: Client, organization: Organization
) -> None:
    schedule_job("nightly", make_job_type(), organization, cron="0 2 * * *")
    with translation.override("ar"):  # what the request activates ends with it
        answer = root.get(url("schedule", "changelist"), headers={"accept-language": "ar"})
    assert '<bdi dir="ltr">0 2 * * *</bdi>' in answer.content.decode()


def test_what_an_operation_is_about_keeps_its_direction_and_its_arrow_points_on() -> None:
    operation = Operation(action="retry", filters={"job_type": ["letters"]})
    change = ExecutionLog(from_status="Pending", to_status="Queued")
    assert "letters" in verbs.operation_title(operation)
    assert "\u2068" not in verbs.operation_title(operation)
    assert "→" in str(change)
    with translation.override("ar"):
        assert "\u2068letters\u2069" in verbs.operation_title(operation)
        assert "←" in str(change)
