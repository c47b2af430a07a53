"""A package that ships tasks and knows nothing of us, in a fresh interpreter with its app installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Final

import pytest

from tests.support.workers import MANAGE_PY

RUN: Final = ["-m", "pytest", "-n0", "--ds=tests.third_party.settings", "--create-db", "-q", "tests/third_party"]


@pytest.mark.skipif(importlib.util.find_spec("maintenance_tasks") is None, reason="It needs Django 6.0, Python 3.12.")
def test_its_tasks_run() -> None:
    left_out = {"DJANGO_SETTINGS_MODULE", "DATABASE_URL"}  # SQLite migrates fastest, and the database is not the matter
    environ = {name: value for name, value in os.environ.items() if name not in left_out}
    run = subprocess.run(
        [sys.executable, *RUN], cwd=MANAGE_PY.parent, env=environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
