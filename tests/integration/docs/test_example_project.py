"""The examples of docs/quickstart.md and docs/recipes.md run on the example project, one after the other."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from django.core import mail

from django_jobs import get_job_status
from django_jobs.models import Job, Organization
from django_jobs.signals import job_finished
from django_jobs.testing import run_jobs
from example_project.shop.catalog import SHOPS
from example_project.shop.seeding import make_products
from tests.support import verbs
from tests.support.tuning import Tuning

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture(autouse=True)
def own_declarations(tuning: Tuning) -> None:
    """What a page declares is forgotten with its test."""
    tuning.set(declarations={item.type_name: {item.place: item} for item in verbs.declared_handlers()})


@pytest.fixture
def organization(broker: object) -> Organization:
    """The pages' organization, which sells what the quickstart names."""
    organization = Organization.objects.create(name="ORG-2025-00001")
    make_products(SHOPS[0], organization)
    return organization


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[ModuleType]:
    """A module that may hold handlers; what it does with signals is undone."""
    page = ModuleType("docs_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_MODULES": [page.__name__]}
    yield page
    job_finished.disconnect(getattr(page, "note_end", None), sender=Job)


def execute(name: str, page: ModuleType) -> dict[str, Any]:
    for example in re.findall(r"^```python\n(.*?)^```$", (DOCS / name).read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(example, name, "exec"), vars(page))
    return vars(page)


def test_the_quickstart_runs_in_its_order(page: ModuleType, organization: Organization) -> None:
    names = execute("quickstart.md", page)
    ends = {status.job_id: status.status for status in run_jobs(raise_errors=True)}
    assert set(ends.values()) == {"Completed"}
    assert get_job_status(names["custom"]).status == "Canceled"
    assert len(ends) == Job.objects.count() - 1
    names["request"].refresh_from_db()
    assert names["content_of"](names["request"].pdf_file)[:5] == b"%PDF-"
    assert {address for message in mail.outbox for address in message.to} == {
        "office@example.com",
        "kim@example.com",
        "boss@example.com",
    }


def test_the_recipes_run_in_their_order(page: ModuleType, organization: Organization) -> None:
    names = execute("recipes.md", page)
    results = names["results"]
    assert {status.status for status in results.values()} == {"Completed"}
    assert names["request"].pdf_file == results[names["report"].name].output_reference
    assert names["second"].pdf_file
    assert len(names["ended"]) == 2
    assert results[names["bulk"].name].result["statements"] == 0
    assert results[names["mailing"].name].result["to"] == ["boss@example.com"]
