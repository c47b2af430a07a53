"""The release before this one, out of the history."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.faults.two_releases import release


def test_each_release_has_a_commit() -> None:
    found = release.commits()
    assert next(iter(found)) == "0.1.0"
    assert [commit for commit in found.values() if not re.fullmatch("[0-9a-f]{40}", commit)] == []


def test_where_there_is_no_history_it_is_said_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(release.HISTORY, str(tmp_path))
    with pytest.raises(release.NoHistory, match=r"It needs a clone that is not shallow; DJANGO_JOBS_HISTORY names"):
        release.older_release(tmp_path)
