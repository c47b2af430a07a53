"""A customer's orders of a month, as text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from example_project.shop.models import Customer, Order
from example_project.shop.periods import Period


def customers_with_orders(organization_pk: Any, period: Period) -> list[int]:
    """Return the numbers of the customers who have orders in this period."""
    span = (period.start, period.end)
    orders = Order.objects.filter(organization_id=organization_pk, ordered_on__range=span).order_by()
    return sorted(orders.values_list("customer_id", flat=True).distinct())


def write_statement(customer: Customer, period: Period) -> tuple[str, int, Decimal]:
    """Return (text, number of orders, their sum)."""
    orders = list(customer.orders.filter(ordered_on__range=(period.start, period.end)).order_by("ordered_on", "id"))
    total = sum((order.total for order in orders), Decimal("0.00"))
    lines = [
        f"{customer.organization}",
        f"Statement for {customer.name}, {customer.city}, {period.start} to {period.end}",
        "",
        *(f"{order.ordered_on}  {order.number:<20}{order.total:>12,.2f}" for order in orders),
        "",
        f"{'Total':<32}{total:>12,.2f}",
    ]
    return "\n".join(lines) + "\n", len(orders), total
