"""CI runs every folder of integration tests at the older end, too, on one of the databases."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(os.environ.get("DJANGO_JOBS_CHECKOUT") or Path(__file__).resolve().parents[2])
FOLDERS: Final = {path.parent.name for path in (CHECKOUT / "tests" / "integration").glob("*/__init__.py")}
OLDER: Final = "py311"


def suites() -> list[str]:
    """The functions of CI that run tests at the older end."""
    found = re.findall(r"^suite_\w+\(\).*?^}", (CHECKOUT / ".ci" / "run").read_text(), re.MULTILINE | re.DOTALL)
    return [suite for suite in found if f" {OLDER} " in suite]


def test_the_older_end_runs_every_folder() -> None:
    lists = [names for suite in suites() for names in re.findall(r"tests/integration/\{([\w,]+)\}", suite)]
    assert {name for names in lists for name in names.split(",")} == FOLDERS


def test_the_older_end_runs_what_lies_beside_the_folders() -> None:
    assert any("tests/integration/test_*.py" in suite for suite in suites())
