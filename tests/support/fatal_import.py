"""A module of handlers whose import kills its process, where ``DIE_AT_IMPORT`` is set."""

from __future__ import annotations

import os
from typing import Any

if "DIE_AT_IMPORT" in os.environ:
    os._exit(3)


def run(context: Any) -> None:
    """Is reached by nobody."""
