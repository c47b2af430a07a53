from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.steps import Stage


@pytest.fixture
def stage(transactional_db: None, tmp_path: Path) -> Stage:
    return Stage(tmp_path)
