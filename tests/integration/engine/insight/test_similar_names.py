"""Names that may have been meant: near ones, bounded however many there are, and none of a user's others."""

from __future__ import annotations

import pytest

from django_jobs.models import Organization
from tests.support import verbs
from tests.support.brokers import pending_job
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


@pytest.mark.parametrize(
    ("given", "meant"),
    [("crtical", ["critical"]), ("HIGH", ["high"]), ("norm", ["normal"]), ("zzz", []), ("", []), ("x" * 1_000_000, [])],
    ids=lambda value: str(value)[:10],
)
def test_names_that_look_alike_are_meant(given: str, meant: list[str]) -> None:
    assert verbs.similar_names(given, ["critical", "high", "normal", "low"]) == meant


def test_a_job_type_is_found_by_its_typing_error() -> None:
    make_job_type(type_name="print_letters")
    assert verbs.similar_job_types("pirnt_letters") == ["print_letters"]
    assert verbs.similar_job_types("print\udcff\x00") == []


def test_of_many_organizations_only_neighbors_are_read(tuning: Tuning) -> None:
    tuning.set(compared_names=50, compared_neighbor_names=5)
    Organization.objects.bulk_create(Organization(name=f"tenant-{number:04d}") for number in range(600))
    make_organization(name="acme-corporation")
    for given in ("acme-corporatoin", "acme-corp", "ACME-corporation"):
        assert verbs.similar_organizations(given)[:1] == ["acme-corporation"]
    assert verbs.similar_organizations("tenant-0300x")[0].startswith("tenant-030")


def test_a_job_is_found_by_its_number_where_the_user_sees_it() -> None:
    acme = make_organization()
    job = pending_job(organization=acme)
    stranger, member = make_user(), make_user(member_of=[acme])
    given = f"JOB-1999-{job.pk}"
    assert (verbs.similar_jobs(given), verbs.similar_jobs(given, member), verbs.similar_jobs(given, stranger)) == (
        [job.name],
        [job.name],
        [],
    )
    assert verbs.similar_jobs(str(job.pk)) == [job.name]
    assert verbs.similar_jobs("JOB-2026-99999999999999999999") == []
