"""Numbers as people write them in their language."""

from __future__ import annotations

from django.utils.formats import number_format


def format_number(value: float, places: int = 0) -> str:
    """Return a number with so many decimals, in groups of three digits where the language has these: ``1,234.5``."""
    return str(number_format(f"{value:.{places}f}", places, force_grouping=True))


def format_exact(value: float) -> str:
    """Return a number with as many decimals as it has, at most four: ``20`` or ``2.5``."""
    return str(number_format(f"{value:.4f}".rstrip("0").rstrip("."), force_grouping=True))


def format_percent(share: float, places: int = 1) -> str:
    """Return a share (0 to 1) in percent, such as ``12.5 %``."""
    return f"{format_number(100 * share, places)} %"
