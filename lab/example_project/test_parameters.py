from __future__ import annotations

from datetime import date
from typing import Any, Final

import pytest

from example_project.shop.periods import Period
from tests.support import verbs


def test_a_date_range_includes_both_of_its_days() -> None:
    wanted = {"template": "monthly_report", "date_range": ["2025-01-01", "2025-01-31"]}
    period = verbs.validated_parameters("pdf_generation", wanted)["date_range"]
    assert period == Period(start=date(2025, 1, 1), end=date(2025, 1, 31))
    assert period.days == 31


def test_template_and_date_range_of_a_report_may_be_left_out() -> None:
    assert verbs.validated_parameters("pdf_generation", {}) == {"template": "monthly_report"}


def test_a_leap_year_is_accepted_whole() -> None:
    assert verbs.validate_parameters("pdf_generation", {"date_range": ["2024-01-01", "2024-12-31"]}) == {}


BAD_PARAMETERS: Final[list[tuple[str, dict[str, Any], str, str]]] = [
    ("pdf_generation", {"template": "weekly"}, "template", '"weekly" is not a valid choice'),
    ("pdf_generation", {"daterange": []}, "daterange", "Accepted: template, date_range, callback_doctype"),
    ("pdf_generation", {"date_range": "2025-01-01"}, "date_range", "Expected a list"),
    ("pdf_generation", {"date_range": ["2025-01-01"]}, "date_range", "at least 2"),
    ("pdf_generation", {"date_range": ["2025-01-01", "2025-02-30"]}, "date_range.1", "YYYY-MM-DD"),
    ("pdf_generation", {"date_range": ["2025-02-01", "2025-01-01"]}, "date_range", "The first day comes first"),
    ("pdf_generation", {"date_range": ["2024-01-01", "2025-01-01"]}, "date_range", "At most 366"),
    ("pdf_generation", {"date_range": ["9999-12-01", "9999-12-31"]}, "date_range", "Years 1970 to 2100"),
    ("pdf_generation", {"callback_name": "REQ-2025-00001"}, "", "together, or neither"),
    ("email_report", {"to": ["alice@example.com", "bob"]}, "to.1", "valid email address"),
    ("email_report", {"to": []}, "to", "at least 1"),
    ("email_report", {"subject": "a\nBcc: mallory@example.com"}, "subject", "does not match"),
    ("email_report", {"report_job": "JOB-1"}, "report_job", "does not match"),
    ("email_notification", {"template": "x"}, "template", '"x" is not a valid choice'),
    ("fax_send", {"fax_number": "5551234", "document": "doc.pdf"}, "fax_number", "+15551234567"),
    ("fax_send", {"fax_number": "+15551234567", "document": "../doc.exe"}, "document", "doc.pdf"),
    ("csv_import", {}, "upload", "required"),
    ("bulk_statements", {"month": "2025-13"}, "month", "like 2025-01"),
]


def test_bad_parameters_are_refused_by_name_with_what_would_be_accepted(subtests: pytest.Subtests) -> None:
    for job_type, parameters, field, words in BAD_PARAMETERS:
        with subtests.test(job_type=job_type, parameters=parameters, field=field, words=words):
            errors = verbs.validate_parameters(job_type, parameters)
            assert words in " ".join(errors[f"parameters.{field}".rstrip(".")])


def test_the_parameters_of_the_quickstart_are_accepted(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("pdf_generation", {"template": "monthly_report", "date_range": ["2025-01-01", "2025-01-31"]}),
        ("pdf_generation", {"template": "report", "callback_doctype": "Report Request", "callback_name": "REQ-1"}),
        ("fax_send", {"fax_number": "+15551234567", "document": "doc.pdf"}),
        ("email_notification", {"template": "fax_sent_confirmation"}),
        ("process_item", {"item_id": "Enamel mug, forest green"}),
        ("email_report", {}),
    ]
    for job_type, parameters in cases:
        with subtests.test(job_type=job_type, parameters=parameters):
            assert verbs.validate_parameters(job_type, parameters) == {}
