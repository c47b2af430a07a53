"""The pages for those who come from another task queue: their examples run in their order, and assert by themselves."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any, Final

import pytest

from django_jobs.engine.job_types import declarations
from tests.support.documents import DOCS, examples_of
from tests.support.factories import make_organization

PAGES: Final = sorted(page.name for page in DOCS.glob("from-*.md"))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("broker")
def test_the_examples_run_in_their_order(page: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    make_organization(name="ORG-2026-00001")
    monkeypatch.setattr(declarations, "_declared", {})
    module = ModuleType("moved_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_MODULES": [module.__name__]}
    examples = examples_of(page)
    assert any("assert " in example for example in examples)
    for example in examples:
        exec(compile(example, page, "exec"), vars(module))


@pytest.mark.parametrize("page", PAGES)
def test_the_page_says_how_to_move_and_what_is_missing(page: str) -> None:
    headings = re.findall(r"^## (.+)$", (DOCS / page).read_text(), re.MULTILINE)
    assert headings[0] == "What is different from the start"
    assert headings[-2:] == ["Step by step, with both running", "What is missing"]
