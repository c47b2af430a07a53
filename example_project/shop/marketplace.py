"""A pretended marketplace. It is slow, so that there is time to watch and to cancel."""

from __future__ import annotations

from time import sleep


def publish(sku: str, *, key: str, seconds: float) -> str:
    """Put a product on sale and return its number. Calls with the same ``key`` put it there once."""
    sleep(seconds)
    return f"MARKET-{sku}-{key}"
