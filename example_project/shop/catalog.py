"""The made-up words behind the demo's data: two shops, what they sell, and who buys there."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Article:
    """Something that a shop sells. ``demand`` is its weight when a basket is drawn."""

    sku: str
    name: str
    category: str
    price: Decimal
    demand: int


@dataclass(frozen=True, kw_only=True)
class Shop:
    organization: str
    title: str
    prefix: str
    member: str
    admin: str
    customers: int
    orders_per_day: float
    articles: tuple[Article, ...]


def articles(prefix: str, category: str, *rows: tuple[str, str, int]) -> tuple[Article, ...]:
    return tuple(
        Article(
            sku=f"{prefix}-{category[:3].upper()}-{number:02}",
            name=name,
            category=category,
            price=Decimal(price),
            demand=demand,
        )
        for number, (name, price, demand) in enumerate(rows, start=1)
    )


HOMEWARE: Final = (
    *articles(
        "BW",
        "Kitchen",
        ("Enamel mug, forest green", "12.50", 90),
        ("Crème brûlée dishes, set of 4", "24.90", 45),
        ("Cast-iron skillet 26 cm", "59.00", 38),
        ("Oak cutting board", "34.50", 52),
        ("Chef's knife 20 cm", "74.00", 27),
        ("Linen tea towels, pair", "16.00", 80),
        ("Café press 1 l", "39.90", 44),
        ("Müsli jar with lid", "14.20", 58),
    ),
    *articles(
        "BW",
        "Living",
        ("Wool blanket, heather", "89.00", 30),
        ("Beeswax candles, box of 6", "18.90", 75),
        ("Desk lamp, brass", "119.00", 16),
        ("Ceramic vase, tall", "42.00", 28),
        ("Cushion cover, indigo", "27.50", 49),
        ("Wall clock, birch", "64.00", 19),
    ),
    *articles(
        "BW",
        "Bath",
        ("Cotton bath towel", "29.00", 56),
        ("Olive soap, three bars", "11.80", 84),
        ("Cedar bath mat", "48.00", 22),
        ("Laundry basket, willow", "54.90", 20),
    ),
)

BOOKS: Final = (
    *articles(
        "NL",
        "Paper",
        ("Dotted notebook A5", "14.90", 90),
        ("Sketchbook A4, 160 g", "21.50", 48),
        ("Weekly planner", "18.00", 60),
        ("Letter set, ivory", "16.40", 30),
    ),
    *articles(
        "NL",
        "Writing",
        ("Fountain pen, fine nib", "46.00", 28),
        ("Ink bottle, night blue", "13.20", 52),
        ("Brush pens, set of 12", "32.00", 40),
        ("Mechanical pencil 0.5", "9.80", 70),
    ),
    *articles(
        "NL",
        "Desk",
        ("Pen tray, walnut", "38.50", 18),
        ("Piñata paper weights, pair", "22.00", 15),
        ("Felt desk pad", "44.00", 20),
    ),
)

SHOPS: Final = (
    Shop(
        organization="ORG-2025-00001",
        title="Brightwater Homeware",
        prefix="BW",
        member="alice",
        admin="bob",
        customers=220,
        orders_per_day=9.6,
        articles=HOMEWARE,
    ),
    Shop(
        organization="ORG-2025-00002",
        title="Northlight Paper Goods",
        prefix="NL",
        member="carol",
        admin="dave",
        customers=70,
        orders_per_day=2.3,
        articles=BOOKS,
    ),
)

FIRST_NAMES: Final = (
    "Amélie", "Anton", "Beatriz", "Björn", "Chloé", "Daniel", "Elif", "Emma", "Farid", "Freya", "Giulia",
    "Hannah", "Iñigo", "Ivan", "Jana", "Jürgen", "Katarína", "Lars", "Leïla", "Marek", "Maya", "Noah",
    "Olivia", "Pedro", "Renée", "Samuel", "Sofía", "Thomas", "Yara", "Zoë",
)  # fmt: skip

LAST_NAMES: Final = (
    "Andersen", "Bauer", "Castillo", "Dubois", "Eriksson", "Fischer", "García", "Hughes", "Ibáñez", "Jansen",
    "Kowalski", "Lefèvre", "Müller", "Núñez", "O'Brien", "Pereira", "Quinn", "Rossi", "Schröder", "Tanaka",
    "Ünal", "Vidal", "Weber", "Young",
)  # fmt: skip

CITIES: Final = (
    "Amsterdam", "Bilbao", "Copenhagen", "Dublin", "Genève", "Hamburg", "Köln", "Lisboa", "Lyon", "Málaga",
    "Milano", "Oslo", "Porto", "Wien", "Zürich",
)  # fmt: skip
