"""The unit tests of the JavaScript, by Node's own test runner. Needs Node 20 or newer."""

from __future__ import annotations

import subprocess
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parent / "js"


def test_the_javascript_does_what_its_own_tests_say() -> None:
    command = ["node", "--test", *sorted(map(str, DIRECTORY.glob("*.test.mjs")))]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    assert result.returncode == 0, result.stdout + result.stderr
