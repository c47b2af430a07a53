"""The release before this one, out of the history."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.faults.two_releases import __main__, release


def test_before_the_first_release_there_is_nothing_to_play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "RELEASES").write_text("# none\n")
    monkeypatch.setattr(release, "RELEASES", tmp_path / "RELEASES")
    assert __main__.main() == 0
    assert capsys.readouterr().out == f"{release.NONE_YET}\n"


def test_where_there_is_no_history_it_is_said_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "RELEASES").write_text(f"0.2.0 {'0' * 40}\n")
    monkeypatch.setattr(release, "RELEASES", tmp_path / "RELEASES")
    monkeypatch.setenv(release.HISTORY, str(tmp_path))
    with pytest.raises(release.NoHistory, match=r"It needs a clone that is not shallow; DJANGO_JOBS_HISTORY names"):
        release.older_release(tmp_path)
