"""Caches that fail."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.base import BaseCache


class BrokenCache(BaseCache):
    """Whose server is away."""

    def __init__(self, *args: Any) -> None:
        super().__init__({})

    def get(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("the cache is away")

    def set(self, *args: Any, **kwargs: Any) -> None:
        raise ConnectionError("the cache is away")
