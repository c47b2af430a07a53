"""Temporary directories for servers that refuse to run as root, and run as another user where the tests are root's."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def open_directory(prefix: str) -> Path:
    """Make a temporary directory that every user can enter, by a path that every user can walk.

    Root's ``TMPDIR`` may lie below a directory that is closed to others; then it is made where the system has one.
    """
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp"] if os.geteuid() == 0 else []
    place = next((item for item in places if _is_open(Path(item))), None)
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    directory.chmod(0o755)
    return directory


def _is_open(directory: Path) -> bool:
    """Whether all users may enter it and what lies above it."""
    path = directory.resolve()
    return all(item.is_dir() and item.stat().st_mode & stat.S_IXOTH for item in (path, *path.parents))
