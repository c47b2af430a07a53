"""The examples of docs/steps.md run, one after the other, as the module of handlers that they describe."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from django.core.management import call_command

from tests.support.documents import examples_of
from tests.support.factories import make_organization


@pytest.mark.usefixtures("broker", "nothing_declared")
def test_the_examples_run_in_their_order(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    make_organization(name="ORG-2026-00001")
    page = ModuleType("steps_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_MODULES": [page.__name__]}
    for example in examples_of("steps.md"):
        call_command("migrate", verbosity=0)  # which makes the rows of what the example before declared
        exec(compile(example, "steps.md", "exec"), vars(page))
