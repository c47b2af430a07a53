"""The made-up words behind the demo's data: two shops, what they sell, and who buys there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Shop:
    """``member`` and ``admin`` are names of accounts; a product is its SKU, its name and its price in euros."""

    organization: str
    title: str
    member: str
    admin: str
    customers: int
    orders: int
    products: tuple[tuple[str, str, str], ...]


SHOPS: Final = (
    Shop(
        organization="ORG-2025-00001",
        title="Brightwater Homeware",
        member="alice",
        admin="bob",
        customers=200,
        orders=4_000,
        products=(
            ("BW-KIT-01", "Enamel mug, forest green", "12.50"),
            ("BW-KIT-02", "Crème brûlée dishes, set of 4", "24.90"),
            ("BW-KIT-03", "Cast-iron skillet 26 cm", "59.00"),
            ("BW-KIT-04", "Oak cutting board", "34.50"),
            ("BW-LIV-01", "Wool blanket, heather", "89.00"),
            ("BW-LIV-02", "Beeswax candles, box of 6", "18.90"),
            ("BW-LIV-03", "Desk lamp, brass", "119.00"),
            ("BW-LIV-04", "Cushion cover, indigo", "27.50"),
            ("BW-BAT-01", "Cotton bath towel", "29.00"),
            ("BW-BAT-02", "Olive soap, three bars", "11.80"),
        ),
    ),
    Shop(
        organization="ORG-2025-00002",
        title="Northlight Paper Goods",
        member="carol",
        admin="dave",
        customers=60,
        orders=1_000,
        products=(
            ("NL-PAP-01", "Dotted notebook A5", "14.90"),
            ("NL-PAP-03", "Weekly planner", "18.00"),
            ("NL-WRI-01", "Fountain pen, fine nib", "46.00"),
        ),
    ),
)

FIRST_NAMES: Final = (
    "Amélie", "Anton", "Beatriz", "Björn", "Chloé", "Daniel", "Elif", "Farid", "Giulia", "Hannah", "Iñigo", "Jürgen",
    "Katarína", "Lars", "Maya", "Noah", "Olivia", "Pedro", "Renée", "Zoë",
)  # fmt: skip
LAST_NAMES: Final = (
    "Andersen", "Bauer", "Castillo", "Dubois", "Eriksson", "Fischer", "García", "Hughes", "Kowalski", "Lefèvre",
    "Müller", "Núñez", "O'Brien", "Rossi", "Tanaka", "Young",
)  # fmt: skip
CITIES: Final = ("Amsterdam", "Bilbao", "Dublin", "Genève", "Köln", "Lisboa", "Málaga", "Oslo", "Wien", "Zürich")
