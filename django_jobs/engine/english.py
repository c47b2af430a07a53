"""Texts that stay English whatever language is active: those that are stored, logged, or sent by the API."""

from __future__ import annotations

from django.utils import translation


def in_english(text: object) -> str:
    """Return a text, which may be a lazy translation, as it stands in the code."""
    with translation.override(None):
        return str(text)
