"""CONTRIBUTING.md names only files that are there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(os.environ.get("DJANGO_JOBS_CHECKOUT") or Path(__file__).resolve().parents[2])
#: From where a path is written: the checkout, the package, its stores, the tests.
ROOTS: Final = [CHECKOUT / root for root in ("", "django_jobs", "django_jobs/engine", "tests", "tests/support/verbs")]


def test_every_path_leads_somewhere() -> None:
    named = re.findall(r"`([\w./-]+(?:/|\.(?:py|md|js|css)))`", (CHECKOUT / "CONTRIBUTING.md").read_text())
    assert named
    assert [path for path in named if not any((root / path).exists() for root in ROOTS)] == []
