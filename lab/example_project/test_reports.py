from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from example_project.shop.chart import grid_step
from example_project.shop.periods import Period, month_of
from example_project.shop.reports import OrderRow, SalesReport, revenue_bars


def order(day: date, total: str, items: int = 1) -> OrderRow:
    return OrderRow(number="X-1", day=day, customer="Zoë", items=items, total=Decimal(total))


def report(start: date, end: date, *orders: OrderRow) -> SalesReport:
    return SalesReport(
        organization="ORG-2025-00001",
        title="Shop",
        period=Period(start=start, end=end),
        orders=orders,
        products=(),
        customers=(),
    )


def test_the_total_is_exact_and_the_average_is_rounded_to_cents() -> None:
    day = date(2025, 1, 1)
    january = report(day, date(2025, 1, 31), order(day, "0.10"), order(day, "0.20", 4), order(day, "0.05"))
    assert january.total == Decimal("0.35")
    assert january.average == Decimal("0.12")
    assert january.items == 6


def test_an_empty_report_has_zeros() -> None:
    empty = report(date(2025, 1, 1), date(2025, 1, 31))
    assert (empty.total, empty.average, empty.items) == (Decimal(0), Decimal(0), 0)


def test_a_month_has_a_bar_for_every_day_also_for_those_without_orders() -> None:
    bars = revenue_bars(report(date(2025, 1, 1), date(2025, 1, 31), order(date(2025, 1, 2), "7.00")))
    assert [bar.label for bar in bars] == [str(day) for day in range(1, 32)]
    assert [bar.amount for bar in bars[:3]] == [Decimal(0), Decimal("7.00"), Decimal(0)]


def test_days_of_two_months_are_labelled_with_their_month() -> None:
    bars = revenue_bars(report(date(2025, 1, 31), date(2025, 2, 1)))
    assert [bar.label for bar in bars] == ["31 Jan", "1 Feb"]


def test_a_long_period_has_a_bar_a_month() -> None:
    start = date(2024, 11, 15)
    orders = [order(start + timedelta(days=day), "1.00") for day in range(90)]
    bars = revenue_bars(report(start, start + timedelta(days=89), *orders))
    assert [(bar.label, bar.amount) for bar in bars] == [
        ("Nov 24", Decimal(16)),
        ("Dec 24", Decimal(31)),
        ("Jan 25", Decimal(31)),
        ("Feb 25", Decimal(12)),
    ]


def test_a_month_ends_where_the_next_begins() -> None:
    assert month_of(date(2024, 2, 10)) == Period(start=date(2024, 2, 1), end=date(2024, 2, 29))
    assert month_of(date(2025, 12, 31)) == Period(start=date(2025, 12, 1), end=date(2025, 12, 31))


def test_the_grid_of_the_chart_has_round_steps() -> None:
    assert [grid_step(highest) for highest in (0, 5, 100, 2031.5, 58000)] == [1, 1, 20, 500, 10000]
