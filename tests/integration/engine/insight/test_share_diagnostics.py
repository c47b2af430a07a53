"""What the check says of weights and limits: it asks the policy itself about organizations that have jobs."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from django_jobs import AccessPolicy
from django_jobs.models import Organization
from tests.support import verbs
from tests.support.brokers import pending_job, queue_up
from tests.support.factories import make_organization
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


class Negative(AccessPolicy):
    """Weighs those below nothing that are called so."""

    def weight(self, organization: Any) -> float:
        return -3 if organization.name.startswith("ORG-BAD") else 2.0


class Broken(AccessPolicy):
    """Asks for what the database does not have."""

    def in_flight_limit(self, organization: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT a_limit FROM no_such_table")
            return int(cursor.fetchone()[0])


class Unmade(AccessPolicy):
    """Cannot even be made."""

    def __init__(self) -> None:
        raise KeyError("no registry")


def follow(settings: Any, name: str) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.{name}"}


def test_without_answers_of_the_host_there_is_nothing_to_ask() -> None:
    finding = verbs.examine_shares()
    assert (finding.level, finding.code, finding.facts) == ("OK", "not_asked", {"limit": 100})


def test_answers_that_count_are_in_order(organization: Organization, settings: Any) -> None:
    pending_job(organization=organization)
    make_organization(name="ORG-BAD-IDLE")
    follow(settings, "Negative")
    assert verbs.examine_shares().level == "OK"


def test_bad_answers_are_told_with_the_organization_and_what_to_do(settings: Any, tuning: Tuning) -> None:
    pending_job(organization=make_organization(name="ORG-BAD-1"))
    queue_up(pending_job(organization=make_organization(name="ORG-BAD-2")))
    follow(settings, "Negative")
    finding = verbs.examine_shares()
    assert (finding.level, finding.code, finding.facts["more"]) == ("WARNING", "bad_answers", "")
    told = finding.facts["told"]
    assert [part in told for part in ("ORG-BAD-1", "ORG-BAD-2", "weight() returned -3", "0.01")] == [True] * 4
    tuning.set(diagnosis_named_shares=1)
    assert verbs.examine_shares().facts["more"]


def test_a_statement_of_the_policys_that_fails_is_told_and_the_examination_goes_on(
    organization: Organization, settings: Any
) -> None:
    pending_job(organization=organization)
    follow(settings, "Broken")
    finding = verbs.examine_shares()
    assert (finding.level, finding.code) == ("WARNING", "bad_answers")
    assert f"in_flight_limit of {organization.name}" in finding.text
    assert "no_such_table" in finding.text
    assert "shares" in {finding.subject for finding in verbs.examine()}


def test_a_policy_that_cannot_be_made_is_a_problem(settings: Any) -> None:
    follow(settings, "Unmade")
    finding = verbs.examine_shares()
    assert (finding.level, finding.code) == ("PROBLEM", "policy_failed")
    assert "no registry" in finding.text
