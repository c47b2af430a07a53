"""The code of a release: this one, or an older one, taken out of the history."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
#: Names the commit of each release.
RELEASES: Final = Path(__file__).with_name("RELEASES")
#: Names the clone whose history has these commits, where the tests run in a copy that has none.
HISTORY: Final = "DJANGO_JOBS_HISTORY"
_TAKEN: Final = ("django_jobs", "example_project", "lab", "tests", "manage.py")
#: What both releases' processes do here is in these files of today; of django_jobs they use what both have.
_PLAYED: Final = (
    "tests/support/record.py",
    *(f"lab/faults/endurance/{name}.py" for name in ("mix", "handlers", "coroutines", "submitter")),
)
#: Said where nothing was released before this code.
NONE_YET: Final = "There is no release before this one: the suite begins with the release after 0.2.0."


class NoHistory(Exception):
    """The older release cannot be had here."""


@dataclass(frozen=True, slots=True)
class Release:
    """Where a release's code lies."""

    name: str
    root: Path

    def environ(self, given: Mapping[str, str]) -> dict[str, str]:
        """The environment of its processes."""
        return {**os.environ, **given, "PYTHONPATH": str(self.root)}

    def checked(self, given: Mapping[str, str]) -> Release:
        """This release, once a process has shown that it runs this code."""
        code = "import django_jobs; print(django_jobs.__file__)"
        command = [sys.executable, str(self.root / "manage.py"), "shell", "-v", "0", "-c", code]
        environ, pipe = self.environ(given), subprocess.PIPE
        run = subprocess.run(command, cwd=self.root, env=environ, stdout=pipe, text=True, check=True)
        assert Path(run.stdout.strip().splitlines()[-1]) == self.root / "django_jobs" / "__init__.py", run.stdout
        return self


def this_release() -> Release:
    return Release("new", ROOT)


def commits() -> dict[str, str]:
    """Return the commit of each release by its version, the oldest first."""
    lines = [line for line in RELEASES.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(maxsplit=1) for line in lines)


def older_release(directory: Path) -> Release:
    """Unpack the last release, which there must be, below the directory. Raises NoHistory where the clone lacks it."""
    version, commit = list(commits().items())[-1]
    clone = os.environ.get(HISTORY) or str(ROOT)
    # The clone may be another user's.
    command = ["git", "-c", "safe.directory=*", "-C", clone, "archive", commit, *_TAKEN]
    try:
        made = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", b"").decode().strip() or str(error)
        raise NoHistory(
            f"This suite takes release {version} out of git's history, and cannot run here: {clone} does not have "
            f"commit {commit}. It needs a clone that is not shallow; {HISTORY} names another one. ({told})"
        ) from error
    root = directory / "older"
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(root, filter="data")
    for name in _PLAYED:
        shutil.copyfile(ROOT / name, root / name)
    return Release("old", root)
