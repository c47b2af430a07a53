from __future__ import annotations

from datetime import date
from itertools import pairwise

from example_project.shop.catalog import SHOPS
from example_project.shop.sales import draft_customers, draft_orders

HOMEWARE = SHOPS[0]


def test_the_same_shop_gets_the_same_customers_and_orders() -> None:
    assert draft_customers(HOMEWARE) == draft_customers(HOMEWARE)
    assert list(draft_orders(HOMEWARE)) == list(draft_orders(HOMEWARE))


def test_the_two_shops_differ() -> None:
    first, second = ([order.ordered_on for order in draft_orders(shop)] for shop in SHOPS)
    assert len(first) > 3 * len(second) > 3000


def test_orders_span_three_years_in_order_with_numbers_that_are_unique() -> None:
    orders = list(draft_orders(HOMEWARE))
    assert orders[0].ordered_on == date(2023, 1, 1)
    assert orders[-1].ordered_on == date(2025, 12, 31)
    assert all(earlier.ordered_on <= later.ordered_on for earlier, later in pairwise(orders))
    assert len({order.number for order in orders}) == len(orders)


def test_december_sells_more_than_july() -> None:
    months = [order.ordered_on.month for order in draft_orders(HOMEWARE)]
    assert months.count(12) > 1.5 * months.count(7)


def test_an_order_is_the_sum_of_lines_that_name_each_article_once() -> None:
    for order in draft_orders(HOMEWARE, last=date(2023, 1, 31)):
        assert order.total == sum(line.unit_price * line.quantity for line in order.lines) > 0
        assert len({line.article for line in order.lines}) == len(order.lines)


def test_no_two_customers_share_a_name_or_an_address() -> None:
    customers = draft_customers(HOMEWARE)
    assert len(customers) == HOMEWARE.customers
    assert len({customer.name for customer in customers}) == len(customers)
    assert len({customer.email for customer in customers}) == len(customers)
