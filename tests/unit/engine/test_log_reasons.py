"""The Execution Log is searched by codes: its messages are for people, and a changed wording changes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import django_jobs

PACKAGE: Final = Path(django_jobs.__file__).parent
SEARCHES: Final = re.compile(r"\bmessage__\w+=|\b(?:said|told|message|text)\.startswith\(")


def test_no_code_searches_the_messages_of_the_log() -> None:
    sources = [path for name in ("engine", "models", "worker", "broker") for path in (PACKAGE / name).rglob("*.py")]
    assert sources
    assert [path.name for path in sources if SEARCHES.search(path.read_text())] == []
