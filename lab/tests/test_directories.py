"""Where servers that run as another user have their files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.support.directories import open_directory


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files that is closed to all other users."""
    tmp_path.chmod(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_root_makes_below_a_closed_directory_is_made_elsewhere(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    made = open_directory("django-jobs-")

    made.rmdir()
    assert private not in made.parents


def test_who_is_not_root_finds_it_where_all_temporary_files_are(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert open_directory("django-jobs-").parent == private
