"""The Python examples of a page of documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"


def examples_of(page: str) -> list[str]:
    """The blocks marked ``python``, in their order. Those marked ``py`` are for reading only."""
    return blocks_of(page, "python")


def blocks_of(page: str, language: str) -> list[str]:
    """The blocks that are marked with this language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def run_examples(page: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run all of them, one after the other in one namespace, and return that."""
    for example in examples_of(page):
        exec(compile(example, page, "exec"), names)
    return names
