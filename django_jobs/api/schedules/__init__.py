"""The routes of schedules: reading them, changing them, and having one fire."""

from __future__ import annotations
