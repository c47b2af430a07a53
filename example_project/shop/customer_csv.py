"""Reads customers from CSV, line by line, and says what is wrong with each line. Nothing is stored here."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from django_jobs.exceptions import PermanentError

HEADER: Final = ("name", "email", "city")
LONGEST: Final = {"name": 120, "email": 254, "city": 80}
MAX_ROWS: Final = 200_000
BOM: Final = "\ufeff"
SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class GoodRow:
    line: int
    name: str
    email: str
    city: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be stored. ``cells`` are as in the file."""

    line: int
    reason: str
    cells: Sequence[str]


def count_rows(lines: Iterable[bytes]) -> int:
    """The number of rows below the header.

    PermanentError when this is not a UTF-8 CSV file with the right header, so that of a broken file nothing is stored.
    """
    records = read_records(lines)
    read_header(records)
    count = sum(1 for _, cells in records if cells)
    if count > MAX_ROWS:
        raise PermanentError(f"The file has {count} rows. At most {MAX_ROWS} are accepted.")
    return count


def read_rows(lines: Iterable[bytes]) -> Iterator[GoodRow | BadRow]:
    """Yield each row of the file, good or bad; empty lines are skipped."""
    records = read_records(lines)
    positions = read_header(records)
    line_of: dict[str, int] = {}
    for line, cells in records:
        if cells:
            yield judge(line, cells, positions, line_of)


def read_records(lines: Iterable[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the first line, cells) of each record."""
    reader = csv.reader(decode(lines), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise PermanentError(f"Line {line} is not CSV: {error}.") from error
        yield line, cells


def decode(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise PermanentError(f'Line {number} is not UTF-8. Save the file as "CSV UTF-8".') from None
        yield text.removeprefix(BOM) if number == 1 else text


def read_header(records: Iterator[tuple[int, list[str]]]) -> list[int]:
    """Return the position of each column of HEADER in the file."""
    _, cells = next(records, (1, []))
    names = [cell.strip().lower() for cell in cells]
    if sorted(names) != sorted(HEADER):
        found = f"it is {','.join(cells)[:SHOWN]!r}" if cells else "there is none"
        raise PermanentError(f"The first line must be {','.join(HEADER)}, in any order; {found}.")
    return [names.index(column) for column in HEADER]


def judge(line: int, cells: list[str], positions: Sequence[int], line_of: dict[str, int]) -> GoodRow | BadRow:
    """Return the row as it may be stored, or what is wrong with it. ``line_of`` holds the addresses of earlier rows."""
    if len(cells) != len(HEADER):
        return BadRow(line, f"{len(cells)} columns instead of {len(HEADER)}", cells)
    name, email, city = (cells[position].strip() for position in positions)
    row = GoodRow(line, name, email.lower(), city)
    reason = problem_of(row)
    if reason is None and row.email in line_of:
        reason = f"the address stands in line {line_of[row.email]} already"
    if reason is not None:
        return BadRow(line, reason, cells)
    line_of[row.email] = line
    return row


def problem_of(row: GoodRow) -> str | None:
    for column in HEADER:
        value: str = getattr(row, column)
        if not value:
            return f"{column} is missing"
        if len(value) > LONGEST[column]:
            return f"{column} is longer than {LONGEST[column]} characters"
        if not value.isprintable():
            return f"{column} holds a character that cannot be printed"
    try:
        validate_email(row.email)
    except ValidationError:
        return "email is not an address"
    return None
