"""The commands: a file for each."""

from __future__ import annotations
