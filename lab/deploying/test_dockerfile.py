"""The image."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from lab.deploying import files


def test_hadolint_finds_nothing() -> None:
    hadolint = str(Path(sys.executable).with_name("hadolint"))
    run = subprocess.run(
        [hadolint, "--format", "json", "--failure-threshold", "style", str(files.FILES / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (json.loads(run.stdout), run.returncode) == ([], 0)


def test_it_runs_as_a_number_that_is_not_root() -> None:
    (user,) = (line for line in files.dockerfile() if line.startswith("USER "))
    assert int(user.removeprefix("USER ").partition(":")[0]) > 0


def test_signals_arrive() -> None:
    lines = files.dockerfile()
    assert 'ENTRYPOINT ["tini", "--"]' in lines
    assert "STOPSIGNAL SIGTERM" in lines


def test_all_that_it_copies_is_there_and_let_through() -> None:
    text = (files.FILES / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE) for name in line.split()]
    ignored = (files.FILES / "Dockerfile.dockerignore").read_text().splitlines()
    assert len(copied) == 6
    assert [name for name in copied if not (files.ROOT / name).exists()] == []
    assert [name for name in copied if f"!{name}" not in ignored] == []
