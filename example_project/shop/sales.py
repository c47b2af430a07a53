"""Three years of believable orders from a seeded generator: the same seed makes the same orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Final

from example_project.shop.catalog import CITIES, FIRST_NAMES, LAST_NAMES, Article, Shop

FIRST_DAY: Final = date(2023, 1, 1)
LAST_DAY: Final = date(2025, 12, 31)

# January to December: quiet after the holidays and in the summer, busy before Christmas.
SEASON: Final = (0.80, 0.82, 0.93, 0.98, 1.02, 0.94, 0.84, 0.88, 1.00, 1.08, 1.36, 1.72)
# Monday to Sunday.
WEEK: Final = (1.05, 0.98, 0.95, 0.98, 1.08, 1.05, 0.91)
GROWTH_A_YEAR: Final = 1.12
PRICE_OF_YEAR: Final = {2023: Decimal("0.94"), 2024: Decimal("0.97"), 2025: Decimal("1.00")}
CENT: Final = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class DraftCustomer:
    name: str
    email: str
    city: str


@dataclass(frozen=True, kw_only=True)
class DraftLine:
    article: int
    quantity: int
    unit_price: Decimal

    @property
    def amount(self) -> Decimal:
        return self.unit_price * self.quantity


@dataclass(frozen=True, kw_only=True)
class DraftOrder:
    """An order that is no row yet. Customer and article are positions in the shop's lists."""

    number: str
    customer: int
    ordered_on: date
    lines: tuple[DraftLine, ...]

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal("0.00"))


def seeded(subject: str, shop: Shop) -> Random:
    return Random(f"{subject} of {shop.organization}")


def draft_customers(shop: Shop) -> list[DraftCustomer]:
    rng = seeded("customers", shop)
    names = rng.sample([f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES], shop.customers)
    return [
        DraftCustomer(name=name, email=f"customer{number}@example.com", city=rng.choice(CITIES))
        for number, name in enumerate(names, start=1)
    ]


def draft_orders(shop: Shop, first: date = FIRST_DAY, last: date = LAST_DAY) -> Iterator[DraftOrder]:
    """Return all orders of the shop, in the order of their dates, numbered within their year."""
    rng = seeded("orders", shop)
    # A few regulars buy often, most customers now and then.
    loyalty = [1 / (rank + 8) for rank in range(shop.customers)]
    day, number = first, 0
    while day <= last:
        if (day.month, day.day) == (1, 1):
            number = 0
        for _ in range(orders_on(rng, shop, day)):
            number += 1
            yield DraftOrder(
                number=f"{shop.prefix}-{day.year}-{number:05}",
                customer=rng.choices(range(shop.customers), weights=loyalty)[0],
                ordered_on=day,
                lines=draft_lines(rng, shop.articles, PRICE_OF_YEAR[day.year]),
            )
        day += timedelta(days=1)


def orders_on(rng: Random, shop: Shop, day: date) -> int:
    growth = GROWTH_A_YEAR ** (day.year - FIRST_DAY.year)
    mean = shop.orders_per_day * growth * SEASON[day.month - 1] * WEEK[day.weekday()]
    return max(0, round(rng.gauss(mean, mean**0.5)))


def draft_lines(rng: Random, articles: tuple[Article, ...], price_level: Decimal) -> tuple[DraftLine, ...]:
    wanted = rng.choices((1, 2, 3, 4), weights=(42, 32, 18, 8))[0]
    demand = [article.demand for article in articles]
    # A basket names each article once, so drawing the same again makes it shorter.
    positions = dict.fromkeys(rng.choices(range(len(articles)), weights=demand, k=wanted))
    return tuple(
        DraftLine(
            article=position,
            quantity=rng.choices((1, 2, 3, 6), weights=(70, 19, 7, 4))[0],
            unit_price=(articles[position].price * price_level).quantize(CENT),
        )
        for position in positions
    )
