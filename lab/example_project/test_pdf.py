from __future__ import annotations

from datetime import date
from decimal import Decimal
from io import BytesIO

from pypdf import PdfReader

from example_project.shop.paper import fit, printable
from example_project.shop.pdf import ROWS_A_PAGE, draw_report
from example_project.shop.periods import Period
from example_project.shop.reports import OrderRow, Ranked, SalesReport

JANUARY = Period(start=date(2025, 1, 1), end=date(2025, 1, 31))


def report(orders: int, customer: str = "Zoë Núñez", title: str = "Crème & Co") -> SalesReport:
    rows = [
        OrderRow(number=f"X-{number:05}", day=date(2025, 1, 7), customer=customer, items=2, total=Decimal("10.01"))
        for number in range(1, orders + 1)
    ]
    ranking = [Ranked(name=customer, count=orders, amount=Decimal("10.01") * orders)]
    return SalesReport(
        organization="ORG-2025-00001",
        title=title,
        period=JANUARY,
        orders=rows,
        products=ranking,
        customers=ranking,
    )


def pages_of(content: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(BytesIO(content)).pages]


def nothing(page: int, pages: int) -> None:
    pass


def test_the_first_page_has_the_totals_and_the_last_the_grand_total() -> None:
    content, count = draw_report(report(orders=100), nothing)
    pages = pages_of(content)
    assert len(pages) == count == 5
    assert "Monthly report, January 2025" in pages[0]
    assert "1,001.00" in pages[0]
    assert "Revenue per day" in pages[0]
    assert pages[-1].index("Grand total") < pages[-1].index("1,001.00")
    assert "Grand total" not in pages[-2]


def test_each_page_carries_its_sum_to_the_next() -> None:
    pages = pages_of(draw_report(report(orders=100), nothing)[0])
    assert "Brought forward" not in pages[2]
    assert "Carried forward\n380.38" in pages[2]
    assert "Brought forward\n380.38" in pages[3]
    assert "Carried forward\n760.76" in pages[3]
    assert "Page total\n240.24" in pages[4]


def test_every_order_is_listed_once() -> None:
    text = "\n".join(pages_of(draw_report(report(orders=2 * ROWS_A_PAGE), nothing)[0]))
    assert [text.count(f"X-{number:05}") for number in range(1, 2 * ROWS_A_PAGE + 1)] == [1] * 2 * ROWS_A_PAGE


def test_pages_are_numbered_and_reported_one_by_one() -> None:
    seen: list[tuple[int, int]] = []
    content, count = draw_report(report(orders=1), lambda page, pages: seen.append((page, pages)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for page, text in enumerate(pages_of(content), start=1):
        assert f"page {page} of {count}" in text


def test_a_period_without_orders_makes_one_page_that_says_so() -> None:
    content, count = draw_report(report(orders=0), nothing)
    assert count == 1
    assert "There are no orders in this period." in pages_of(content)[0]


def test_accents_are_kept_and_what_the_font_lacks_is_replaced() -> None:
    strange = report(orders=1, customer="Zoë 東京 \x00🙂", title="Łódź\nGmbH")
    text = pages_of(draw_report(strange, nothing)[0])[2]
    assert "Zoë ?? " in text
    assert printable("Łódź\n€") == "?ód? €"
    assert printable("lone \ud800 surrogate") == "lone   surrogate"


def test_long_names_are_cut_where_their_column_ends() -> None:
    assert fit("Kim", 100) == "Kim"
    assert fit("W" * 200, 100).endswith("W…")
