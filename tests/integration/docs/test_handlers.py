"""The examples of docs/handlers.md run, one after the other, as the module of handlers that they describe."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from tests.support.factories import make_organization

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "handlers.md"


@pytest.mark.usefixtures("broker", "nothing_declared")
def test_the_examples_run_in_their_order(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    make_organization(name="ORG-2026-00001")
    page = ModuleType("handlers_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_MODULES": [page.__name__]}
    for example in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(example, str(PAGE), "exec"), vars(page))
    ends = {name: str(status.status) for name, status in vars(page)["results"].items()}
    assert ends == {
        "print_labels": "Completed",
        "call_courier": "Dead Letter",
        "book_labels": "Completed",
        "charge_card": "Completed",
        "ship_order": "Completed",
        "ask_suppliers": "Completed",
    }
    assert vars(page)["results"]["ask_suppliers"].result["answers"] == ["MILL", "DAIRY"]
