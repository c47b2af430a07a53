from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from django_jobs.exceptions import PermanentError
from example_project.shop.parameters import Period, read_parameters


def test_a_date_range_includes_both_of_its_days() -> None:
    period = read_parameters({"template": "monthly_report", "date_range": ["2025-01-01", "2025-01-31"]})
    assert period == Period(start=date(2025, 1, 1), end=date(2025, 1, 31))
    assert period.days == 31


def test_template_and_date_range_may_be_left_out() -> None:
    assert read_parameters({}) is None


def test_a_leap_year_is_accepted_whole() -> None:
    assert read_parameters({"date_range": ["2024-01-01", "2024-12-31"]})


@pytest.mark.parametrize(
    ("parameters", "accepted"),
    [
        ({"template": "weekly"}, "Accepted: monthly_report"),
        ({"template": ["monthly_report"]}, "Accepted: monthly_report"),
        ({"daterange": []}, "Accepted: template, date_range"),
        ({"date_range": "2025-01-01"}, 'two dates, for example ["2025-01-01", "2025-01-31"]'),
        ({"date_range": ["2025-01-01"]}, "two dates"),
        ({"date_range": []}, "two dates"),
        ({"date_range": ["2025-01-01", "2025-02-30"]}, "'2025-02-30', which is no date"),
        ({"date_range": ["2025-01-01", None]}, "Dates are written like 2025-01-31"),
        ({"date_range": ["2025-02-01", "2025-01-01"]}, "The first day comes first"),
        ({"date_range": ["2024-01-01", "2025-01-01"]}, "spans 367 days. At most 366"),
        ({"date_range": ["9999-12-01", "9999-12-31"]}, "Years 1970 to 2100"),
    ],
)
def test_bad_parameters_are_refused_for_good_with_what_would_be_accepted(
    parameters: dict[str, Any], accepted: str
) -> None:
    with pytest.raises(PermanentError) as refusal:
        read_parameters(parameters)
    assert accepted in str(refusal.value)
