"""The job whose handler runs in this context: in its thread, its event loop, and what they start in a copy of it.

A bare ``threading.Thread`` or executor copies no context, so nothing is known there.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_jobs.engine.claim import Claimed

current_job: contextvars.ContextVar[Claimed | None] = contextvars.ContextVar("django_jobs_current_job", default=None)
