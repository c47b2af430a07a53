"""The figures of a sales report. Nothing here draws; ``pdf`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import Count, QuerySet, Sum

from django_jobs.models import Organization
from example_project.shop.models import Order, OrderLine
from example_project.shop.periods import Period, month_of, next_month

CENT: Final = Decimal("0.01")
TOP: Final = 10
LONGEST_DAILY_CHART: Final = 62


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    """One order, as a line of the report's tables."""

    number: str
    day: date
    customer: str
    items: int
    total: Decimal


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A place in a list of the best: ``count`` is units for a product, orders for a customer."""

    name: str
    count: int
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The revenue of a day, or of a month in a long period."""

    label: str
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class SalesReport:
    organization: str
    title: str
    period: Period
    orders: Sequence[OrderRow]
    products: Sequence[Ranked]
    customers: Sequence[Ranked]

    @property
    def total(self) -> Decimal:
        return sum((order.total for order in self.orders), Decimal("0.00"))

    @property
    def average(self) -> Decimal:
        """Return the mean value of an order; 0 if there are none."""
        return (self.total / len(self.orders)).quantize(CENT) if self.orders else Decimal("0.00")

    @property
    def items(self) -> int:
        return sum(order.items for order in self.orders)


def build_report(tenant: Organization, asked: Period | None) -> SalesReport:
    """Return the report of one organization; without a period, that of its last full month with orders."""
    sales = Order.objects.filter(organization=tenant)
    period = asked or last_full_month(sales)
    sales = sales.filter(ordered_on__range=(period.start, period.end))
    return SalesReport(
        organization=tenant.name,
        title=tenant.title or tenant.name,
        period=period,
        orders=order_rows(sales),
        products=top_products(sales),
        customers=top_customers(sales),
    )


def order_rows(sales: QuerySet[Order]) -> list[OrderRow]:
    rows = (
        sales.annotate(items=Sum("lines__quantity", default=0))
        .order_by("ordered_on", "id")
        .values_list("number", "ordered_on", "customer__name", "items", "total")
    )
    return [
        OrderRow(number=number, day=day, customer=customer, items=items, total=total)
        for number, day, customer, items, total in rows
    ]


def top_products(sales: QuerySet[Order]) -> list[Ranked]:
    rows = (
        OrderLine.objects.filter(order__in=sales)
        .values_list("product__name")
        .annotate(count=Sum("quantity"), amount=Sum("amount"))
        .order_by("-amount", "product__name")[:TOP]
    )
    return ranked(rows)


def top_customers(sales: QuerySet[Order]) -> list[Ranked]:
    rows = (
        sales.values_list("customer__name")
        .annotate(count=Count("id"), amount=Sum("total"))
        .order_by("-amount", "customer__name")[:TOP]
    )
    return ranked(rows)


def ranked(rows: Any) -> list[Ranked]:
    # SQLite sums decimals as floats, hence the quantize.
    return [Ranked(name=name, count=count, amount=amount.quantize(CENT)) for name, count, amount in rows]


def last_full_month(sales: QuerySet[Order], today: date | None = None) -> Period:
    """Return the latest calendar month that is over and has orders; without orders, the latest that is over."""
    this_month = (today or datetime.now(UTC).date()).replace(day=1)
    over = sales.filter(ordered_on__lt=this_month).order_by("-ordered_on")
    newest = over.values_list("ordered_on", flat=True).first()
    return month_of(newest or this_month - timedelta(days=1))


def revenue_bars(report: SalesReport) -> list[Bar]:
    """Return the revenue of each day without gaps, or of each month if bars of days would be too thin."""
    if report.period.days > LONGEST_DAILY_CHART:
        return monthly_bars(report)
    amounts: dict[date, Decimal] = {}
    for order in report.orders:
        amounts[order.day] = amounts.get(order.day, Decimal(0)) + order.total
    one_month = report.period.start.replace(day=1) == report.period.end.replace(day=1)
    days = (report.period.start + timedelta(days=n) for n in range(report.period.days))
    return [
        Bar(label=f"{day.day}" if one_month else f"{day.day} {day:%b}", amount=amounts.get(day, Decimal(0)))
        for day in days
    ]


def monthly_bars(report: SalesReport) -> list[Bar]:
    months: dict[date, Decimal] = {}
    month = report.period.start.replace(day=1)
    while month <= report.period.end:
        months[month] = Decimal(0)
        month = next_month(month)
    for order in report.orders:
        months[order.day.replace(day=1)] += order.total
    return [Bar(label=f"{month:%b %y}", amount=amount) for month, amount in months.items()]
