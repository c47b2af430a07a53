"""Stores customers in batches. A second attempt, or the same file again, changes nothing more."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from django.db import connections, router

from example_project.shop.customer_csv import BadRow, GoodRow
from example_project.shop.models import Customer

BATCH: Final = 1000

T = TypeVar("T")


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def store_customers(organization: Any, rows: Sequence[GoodRow]) -> None:
    """Insert the organization's (primary key) new customers and update those whose address it knows already."""
    connection = connections[router.db_for_write(Customer)]
    # MariaDB takes whichever unique key is hit and cannot be told which.
    target = ("organization", "email") if connection.features.supports_update_conflicts_with_target else None
    Customer.objects.bulk_create(
        # By address, so that two imports at once lock the rows in the same order.
        [
            Customer(organization_id=organization, name=row.name, email=row.email, city=row.city)
            for row in sorted(rows, key=lambda row: row.email)
        ],
        update_conflicts=True,
        unique_fields=target,
        update_fields=("name", "city"),
    )


def error_file(rows: Sequence[BadRow]) -> str:
    """Return the bad rows as CSV, each with its line number and what is wrong."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("line", "problem", "row"))
    writer.writerows((row.line, row.reason, *row.cells) for row in rows)
    return text.getvalue()
