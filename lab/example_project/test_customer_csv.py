from __future__ import annotations

import csv
import io

import pytest

from django_jobs.exceptions import PermanentError
from example_project.shop.customer_csv import BadRow, GoodRow, count_rows, read_rows
from example_project.shop.customer_import import batches, error_file
from example_project.shop.sample_csv import count_bad, customers_csv


def lines(text: str | bytes) -> list[bytes]:
    return (text.encode() if isinstance(text, str) else text).splitlines(keepends=True)


def rows(text: str) -> list[GoodRow | BadRow]:
    return list(read_rows(lines(f"name,email,city\n{text}")))


def reasons(text: str) -> list[str]:
    return [row.reason for row in rows(text) if isinstance(row, BadRow)]


def test_a_row_is_trimmed_and_its_address_is_lower_case() -> None:
    assert rows(" Zoë , Zoe@Example.com ,Köln\n") == [GoodRow(2, "Zoë", "zoe@example.com", "Köln")]


def test_columns_may_stand_in_any_order_behind_a_byte_order_mark() -> None:
    text = "\ufeffCity,Name,Email\nKöln,Zoë,zoe@example.com\n"
    assert list(read_rows(lines(text))) == [GoodRow(2, "Zoë", "zoe@example.com", "Köln")]


def test_lines_may_end_as_on_any_system(subtests: pytest.Subtests) -> None:
    for ending in ("\n", "\r\n", "\r"):
        with subtests.test(ending=ending):
            text = ending.join(["name,email,city", "Zoë,zoe@example.com,Köln", ""])
            assert list(read_rows(lines(text))) == [GoodRow(2, "Zoë", "zoe@example.com", "Köln")]


def test_lines_are_counted_through_quoted_line_breaks_and_empty_lines() -> None:
    text = '"Two\nlines",two@example.com,Köln\n\nZoë,zoe@example.com,Köln\n'
    assert [row.line for row in rows(text)] == [2, 5]


def test_a_bad_row_says_what_is_wrong_with_it(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        (",zoe@example.com,Köln", "name is missing"),
        ("Zoë,zoe at example.com,Köln", "email is not an address"),
        ("Zoë,zoe@example.com", "2 columns instead of 3"),
        ("Zoë,zoe@example.com,Köln,", "4 columns instead of 3"),
        (f"Zoë,zoe@example.com,{'K' * 81}", "city is longer than 80 characters"),
        ("Zo\x00ë,zoe@example.com,Köln", "name holds a character that cannot be printed"),
    ]
    for row, reason in cases:
        with subtests.test(row=row, reason=reason):
            assert reasons(row) == [reason]


def test_a_repeated_address_names_the_line_that_has_it() -> None:
    text = "Zoë,zoe@example.com,Köln\nZoe,ZOE@example.com,Bonn\n"
    assert reasons(text) == ["the address stands in line 2 already"]


def test_a_broken_file_is_refused_for_good(subtests: pytest.Subtests) -> None:
    cases: list[tuple[bytes, str]] = [
        (b"", "there is none"),
        (b"name;email;city\n", "must be name,email,city, in any order; it is 'name;email;city'"),
        (b"name,email\n", "it is 'name,email'"),
        (b"name,email,city\nZo\xeb,zoe@example.com,Bonn\n", 'Line 2 is not UTF-8. Save the file as "CSV UTF-8"'),
        ("name,email,city\n".encode("utf-16"), "Line 1 is not UTF-8"),
        (b'name,email,city\nA,a@example.com,B\n"Zoe,zoe@example.com,Bonn\n', "Line 3 is not CSV"),
    ]
    for content, words in cases:
        with subtests.test(content=content, words=words):
            with pytest.raises(PermanentError) as caught:
                count_rows(lines(content))
            assert words in str(caught.value)


def test_the_sample_has_as_many_bad_rows_as_it_says() -> None:
    text = customers_csv(6000)
    assert count_rows(lines(text)) == 6000
    bad = [row for row in read_rows(lines(text)) if isinstance(row, BadRow)]
    assert len(bad) == count_bad(6000) == 6
    assert len({row.reason for row in bad}) == 5


def test_the_error_file_repeats_each_bad_row_with_its_line() -> None:
    bad = BadRow(3, "2 columns instead of 3", ["Zoë, the first", "zoe@example.com"])
    assert list(csv.reader(io.StringIO(error_file([bad])))) == [
        ["line", "problem", "row"],
        ["3", "2 columns instead of 3", "Zoë, the first", "zoe@example.com"],
    ]


def test_batches_hold_everything_once() -> None:
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
