"""Numbers as people write them in their language."""

from __future__ import annotations

from django.utils import translation

from django_jobs.admin.writing import NOT_COUNTED, format_exact, format_number, format_percent
from django_jobs.texts import in_english
from tests.support.verbs import CappedCount


def test_numbers_stand_in_groups_of_three_digits() -> None:
    assert format_number(1234567) == "1,234,567"
    assert format_number(1234.56, 1) == "1,234.6"
    assert format_percent(0.1234) == "12.3 %"


def test_no_decimal_is_lost_and_none_is_made_up() -> None:
    shares = (0.2, 0.025, 0.0025, 0.07, 0.0, 1.0)
    assert [format_exact(100 * share) for share in shares] == ["20", "2.5", "0.25", "7", "0", "100"]


def test_a_language_has_its_own_signs() -> None:
    with translation.override("de"):
        assert format_number(1234567) == "1.234.567"
        assert format_percent(0.1234) == "12,3 %"
        assert format_exact(2.5) == "2,5"


def test_a_count_that_was_cut_says_so_in_the_active_language(bracketed: None) -> None:
    assert str(CappedCount(count=10_000, is_cut=True)) == "10.000+"
    assert str(CappedCount(count=0, is_cut=True)) == f"[{in_english(NOT_COUNTED)}]"
