"""The examples of docs/testing.md: their tests are this module's tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "testing.md"

for _example in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
    exec(compile(_example, str(PAGE), "exec"), globals())


def test_every_example_brought_its_test() -> None:
    text = PAGE.read_text()
    assert text.count("```python") == len(re.findall(r"^ *def test_", text, re.MULTILINE)) == 8
