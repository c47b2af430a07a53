"""A realistic file of customers: most rows are right, some are not. The same seed makes the same file."""

from __future__ import annotations

import csv
import io
from random import Random
from typing import Final

from django.core.files.base import ContentFile

from django_jobs.models import Organization
from example_project.shop.catalog import CITIES, FIRST_NAMES, LAST_NAMES
from example_project.shop.customer_csv import HEADER
from example_project.shop.models import Upload

#: Every so many rows one is bad, in one of the ways below in turn.
BAD_EVERY: Final = 997


def customers_csv(rows: int, seed: int = 1) -> str:
    """Return the text of a CSV file with this many rows below its header."""
    rng = Random(f"customers {seed}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for number in range(1, rows + 1):
        name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
        row = [name, f"buyer{number}@example.net", rng.choice(CITIES)]
        writer.writerow(spoil(row, number // BAD_EVERY) if number % BAD_EVERY == 0 else row)
    return text.getvalue()


def spoil(row: list[str], how: int) -> list[str]:
    name, email, city = row
    ways = (
        ["", email, city],
        [name, email.replace("@", " at "), city],
        [name, email],
        [name, "buyer1@example.net", city],
        [name, email, city * 30],
    )
    return ways[how % len(ways)]


def count_bad(rows: int) -> int:
    """Return how many of this many rows are bad."""
    return rows // BAD_EVERY


def store_upload(organization: Organization, text: str, filename: str = "customers.csv") -> Upload:
    """Store the text as an upload of the organization."""
    upload = Upload(organization=organization)
    upload.file.save(filename, ContentFile(text.encode()))
    return upload
