"""Whether permissions that job types require exist."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import User

from tests.support import verbs
from tests.support.factories import make_job_type

KNOWN = "django_jobs.add_jobtype"


class OwnRules(ModelBackend):
    """Grants what has no row."""

    def has_perm(self, *args: Any, **kwargs: Any) -> bool:
        return True


class OwnGroups(ModelBackend):
    """Has groups that are no rows."""

    def get_group_permissions(self, *args: Any, **kwargs: Any) -> set[str]:
        return {"x.y"}


class OwnRoles(BaseBackend):
    """Knows a user's permissions from elsewhere."""

    def get_user_permissions(self, *args: Any, **kwargs: Any) -> set[str]:
        return {"x.y"}


@pytest.mark.django_db
def test_what_has_no_row_is_unknown() -> None:
    wrong = ["add_jobtype", "auth.add_jobtype", "django_jobs.", "django_jobs.add_jobtyp", "x.y.z"]
    assert verbs.unknown_permissions([KNOWN, "", *wrong, "x.y.z"]) == sorted(wrong)


def test_blank_ones_are_not_asked_for() -> None:
    assert verbs.unknown_permissions(["", ""]) == []


@pytest.mark.django_db
@pytest.mark.parametrize("backend", [OwnRules, OwnGroups, OwnRoles])
def test_a_backend_that_decides_in_its_own_way_may_know_more(settings: Any, backend: type[BaseBackend]) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.{backend.__name__}"]
    assert User.objects.create(username="ada").has_perm("x.y")
    assert verbs.unknown_permissions(["x.y"]) == []


def test_a_user_model_that_decides_in_its_own_way_may_know_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(User, "has_perm", lambda *_: True)
    assert verbs.unknown_permissions(["x.y"]) == []


@pytest.mark.django_db
def test_the_check_names_the_types_that_require_them() -> None:
    make_job_type(requires_permission=KNOWN)
    assert "permissions" not in {finding.subject for finding in verbs.examine_types()}
    make_job_type(type_name="print_labels", requires_permission="shop.print")
    (found,) = [finding for finding in verbs.examine_types() if finding.subject == "permissions"]
    assert (found.level, found.code) == ("WARNING", "unknown_permission")
    assert "print_labels (shop.print)" in found.text
