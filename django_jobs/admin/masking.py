"""Masked JSON as text for people."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from django_jobs.engine.job_types.masking import Names, masked

#: Unicode's characters that change the direction of text: marks, embeddings, overrides and isolates.
_TURNING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def json_of(value: Any, names: Names) -> str:
    """Return a JSON value as text for people, with the values under these keys masked.

    Characters that would reverse the direction of the text around them are written as their escapes.
    """
    text = json.dumps(masked(value, names), indent=2, ensure_ascii=False)
    return _TURNING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
