"""Fresh interpreters, for what must not happen in the process of the tests."""

from __future__ import annotations

import subprocess
import sys


def printed_by(code: str) -> str:
    """What a fresh interpreter prints that runs this code, and ends well."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
