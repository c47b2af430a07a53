"""The management commands, and in ``base`` what they share."""

from __future__ import annotations
