"""A pretended marketplace. It is slow, so that there is time to watch and to cancel, and it can be down."""

from __future__ import annotations

from pathlib import Path
from time import sleep

from django.conf import settings


class MarketplaceDownError(Exception):
    """The marketplace does not answer."""


def outage() -> Path:
    """Return the path of a file: while there is one, the marketplace is down."""
    path: Path = settings.PROVIDERS_DIR / "marketplace-is-down"
    return path


def publish(sku: str, *, key: str, seconds: float) -> str:
    """Put a product on sale and return its number. Calls with the same ``key`` put it there once."""
    if outage().exists():
        raise MarketplaceDownError("The marketplace does not answer")
    sleep(seconds)
    return f"MARKET-{sku}-{key}"
