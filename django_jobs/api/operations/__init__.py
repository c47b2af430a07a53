"""Acting on all jobs that a filter names, over HTTP."""

from __future__ import annotations
