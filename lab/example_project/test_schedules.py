"""The shop's schedules: one that code declares, and one for each organization."""

from __future__ import annotations

from dataclasses import replace

import pytest

from django_jobs.engine.job_types import types
from django_jobs.models import Schedule
from django_jobs.testing import fire_schedules
from example_project import settings as example_settings
from example_project.shop import seeding
from example_project.shop.catalog import SHOPS
from tests.support import verbs

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


def test_the_nightly_report_is_declared_rightly() -> None:
    (declaration,) = types._declared["pdf_generation"].values()
    assert example_settings.NIGHTLY_REPORT is not None
    declared = replace(declaration, schedules=(example_settings.NIGHTLY_REPORT,))
    (found,) = verbs.schedules_of(declared)
    assert (found.name, found.problems) == ("nightly_report", ())


def test_each_shop_has_a_schedule_of_its_admin_that_fires() -> None:
    said: list[str] = []
    for _ in range(2):
        seeding.seed(said.append)
    rows = Schedule.objects.order_by("name")
    assert [row.owner_name for row in rows] == [shop.admin for shop in SHOPS]
    assert any("has its schedule" in line for line in said)
    last = max(row.next_run_at for row in rows if row.next_run_at)
    assert {firing.outcome for firing in fire_schedules(until=last)} == {"submitted"}
