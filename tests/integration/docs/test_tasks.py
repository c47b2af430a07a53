"""The examples of docs/tasks.md run, one after the other, as the module of tasks that they describe."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from tests.support.documents import examples_of
from tests.support.factories import make_organization
from tests.support.verbs import DjangoTask


@pytest.mark.usefixtures("broker")
def test_the_examples_run_in_their_order(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    make_organization(name="ORG-2026-00001")
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": "SYSTEM"}
    page = ModuleType("tasks_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    package = DjangoTask.__module__.removesuffix(".base")  # the page has that of Django 6
    for example in examples_of("tasks.md"):
        exec(
            compile(example.replace("django.tasks import task", f"{package} import task"), "tasks.md", "exec"),
            vars(page),
        )
    assert vars(page)["result"].return_value == {"sent": 1042}
