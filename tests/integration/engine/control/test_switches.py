"""Pausing job types and suspending organizations: who may, and what is told of it."""

from __future__ import annotations

import pytest

from django_jobs.exceptions import PermissionDenied
from django_jobs.models import JobType, Organization
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("broker")


def test_a_switch_tells_whether_it_changed_anything() -> None:
    kind, acme = make_job_type(), make_organization()
    assert [
        verbs.set_paused("job_type", kind, True),
        verbs.set_paused("job_type", kind, True),
        verbs.set_paused("job_type", kind, False),
        verbs.set_paused("job_type", kind, False),
    ] == [
        True,
        False,
        True,
        False,
    ]
    assert [
        verbs.set_organization_active(acme.pk, False),
        verbs.set_organization_active(acme.pk, False),
        verbs.set_organization_active(-1, False),
    ] == [True, False, False]


def test_only_system_admins_switch() -> None:
    kind, acme = make_job_type(), make_organization()
    user = make_user(admin_of=[acme])
    with refused(PermissionDenied, "not_system_admin"):
        verbs.set_paused("job_type", kind, True, user=user)
    with refused(PermissionDenied, "not_system_admin"):
        verbs.set_organization_active(acme.pk, False, user=user)
    assert not JobType.objects.get(pk=kind.pk).is_paused
    assert Organization.objects.get(pk=acme.pk).is_active


@pytest.mark.django_db(transaction=True)
def test_the_log_says_who_it_was(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "django_jobs"):
        verbs.set_paused("job_type", make_job_type(type_name="print_letters"), True)
    (line,) = [found for found in caplog.records if "event=job_type_changed" in found.getMessage()]
    assert "count=1 job_type=print_letters by=system " in line.getMessage()
    assert line.code == "paused"  # type: ignore[attr-defined]
