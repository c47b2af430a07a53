"""A pretended marketplace that takes its time, so that there is something to watch and to cancel."""

from __future__ import annotations

from time import sleep


def publish(sku: str, *, key: str, seconds: float) -> str:
    """Put a product on sale there and return its number; it stands there once for each ``key``, however often asked."""
    sleep(seconds)
    return f"MARKET-{sku}-{key}"
