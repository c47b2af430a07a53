"""The system check of the settings of metrics, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.checks import checked


@pytest.mark.parametrize("given", [{}, {"METRICS_ORGANIZATIONS": 50, "METRICS_TOKEN": "s3cret"}])
def test_what_can_be_used_is_fine(settings: Any, given: dict[str, Any]) -> None:
    settings.DJANGO_JOBS = given
    assert checked("E045") == []


@pytest.mark.parametrize("given", [True, -1, 1.5, "all", None])
def test_organizations_are_a_number(settings: Any, given: Any) -> None:
    settings.DJANGO_JOBS = {"METRICS_ORGANIZATIONS": given}
    (found,) = checked("E045")
    assert (found.id, f"not {given!r}." in found.msg) == ("django_jobs.E045", True)


@pytest.mark.parametrize("given", [None, 7, b"s3cret", "s3cr\xe9t", " s3cret", "s3cret\n"])
def test_a_token_is_a_text_of_a_header_and_not_shown(settings: Any, given: Any) -> None:
    settings.DJANGO_JOBS = {"METRICS_TOKEN": given}
    (found,) = checked("E045")
    assert (found.id, "s3cr" in found.msg) == ("django_jobs.E045", False)
