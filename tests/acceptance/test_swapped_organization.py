"""A host that swaps the organization for its own model: its migrations and its jobs, in a fresh interpreter.

The model is decided before Django loads, so these tests are a run of their own, on a database of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest
from django.db import connection

from tests.support.databases import database_url
from tests.support.workers import MANAGE_PY

RUN: Final = ["-m", "pytest", "-n0", "--ds=tests.swapped.settings", "--create-db", "-q", "tests/swapped"]


@pytest.mark.parametrize("model", ["swapped.Tenant", "swapped.Branch"])
def test_all_of_it_works_for_a_hosts_own_organization(model: str) -> None:
    environ = {
        **os.environ,
        "SWAPPED_MODEL": model,
        "DATABASE_URL": f"{database_url(connection.settings_dict)}_swapped",
    }
    del environ["DJANGO_SETTINGS_MODULE"]
    run = subprocess.run(
        [sys.executable, *RUN], cwd=MANAGE_PY.parent, env=environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
