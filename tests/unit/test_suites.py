"""CI runs every folder of integration tests at the older end, too: on MariaDB or on SQLite."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(os.environ.get("DJANGO_JOBS_CHECKOUT") or Path(__file__).resolve().parents[2])
FOLDERS: Final = {path.parent.name for path in (CHECKOUT / "tests" / "integration").glob("*/__init__.py")}


def named_by(suite: str) -> set[str]:
    """The folders that a function of CI gives to pytest."""
    found = re.search(rf"^{suite}\(\).*?^}}", (CHECKOUT / ".ci" / "run").read_text(), re.MULTILINE | re.DOTALL)
    lists = re.findall(r"tests/integration/\{([\w,]+)\}", found[0]) if found else []
    return {name for names in lists for name in names.split(",")}


def test_the_older_end_runs_every_folder() -> None:
    assert named_by("suite_on_mariadb") | named_by("suite_on_sqlite") == FOLDERS
