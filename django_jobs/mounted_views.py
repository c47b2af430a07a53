"""The views that the host's URLs lead to. Django's own checks load the URLs too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.urls import URLResolver, get_resolver


def find_views() -> Iterator[Any]:
    """Yield the view of each URL; nothing where the host has no URLs."""
    if getattr(settings, "ROOT_URLCONF", None):
        yield from _views(get_resolver())


def _views(resolver: URLResolver) -> Iterator[Any]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _views(pattern)
        elif hasattr(pattern, "callback"):  # what is no pattern at all a check of Django's tells
            yield pattern.callback
