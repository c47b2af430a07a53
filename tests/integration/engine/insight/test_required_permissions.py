"""Whether permissions that job types require exist."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.backends import ModelBackend

from django_jobs.engine.insight.required_permissions import unknown_permissions
from django_jobs.engine.insight.type_diagnostics import examine_types
from tests.support.factories import make_job_type

KNOWN = "django_jobs.add_jobtype"


class OwnRules(ModelBackend):
    """Grants what has no row."""

    def has_perm(self, *args: Any, **kwargs: Any) -> bool:
        return True


@pytest.mark.django_db
def test_what_has_no_row_is_unknown() -> None:
    wrong = ["add_jobtype", "auth.add_jobtype", "django_jobs.", "django_jobs.add_jobtyp", "x.y.z"]
    assert unknown_permissions([KNOWN, "", *wrong, "x.y.z"]) == sorted(wrong)


def test_blank_ones_are_not_asked_for() -> None:
    assert unknown_permissions(["", ""]) == []


def test_a_backend_that_decides_in_its_own_way_may_know_more(settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, f"{__name__}.OwnRules"]
    assert unknown_permissions(["x.y"]) == []


@pytest.mark.django_db
def test_the_check_names_the_types_that_require_them() -> None:
    make_job_type(requires_permission=KNOWN)
    assert "permissions" not in {finding.subject for finding in examine_types()}
    make_job_type(type_name="print_labels", requires_permission="shop.print")
    (found,) = [finding for finding in examine_types() if finding.subject == "permissions"]
    assert found.level == "WARNING"
    assert found.text == (
        "job types require some that do not exist, so that only system admins and code may submit them: "
        "print_labels (shop.print). Correct the names, or migrate their apps."
    )
