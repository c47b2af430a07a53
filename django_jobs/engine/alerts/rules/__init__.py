"""The rules, a module for each. Each looks and returns what it found, or None where it cannot tell yet."""

from __future__ import annotations
