"""What ``jobs_status`` shows of breakers and limits."""

from __future__ import annotations

import json

import pytest

from django_jobs.management.hindrances import MAX_BREAKERS
from django_jobs.models import Organization
from tests.support.breakers import claim_try, let_pass, make_fragile_type, open_by_failures
from tests.support.brokers import end, job_in, pending_job, returned
from tests.support.commands import run
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


def lines(begin: str) -> list[str]:
    return [line.strip() for line in run("jobs_status").splitlines() if line.strip().startswith(begin)]


def test_an_open_breaker_is_shown_with_its_next_try() -> None:
    kind = make_fragile_type(type_name="send_fax")
    assert lines("Breakers") == []
    open_by_failures(kind)
    (line,) = lines("send_fax")
    assert line.startswith("send_fax OPEN, next try in ")
    assert line.endswith(" s; 3 wait: it failed")
    let_pass(kind, kind.breaker_pause)
    assert lines("send_fax") == ["send_fax OPEN, next try now; 3 wait: it failed"]
    pending_job(kind)
    end(returned(claim_try(kind)))
    assert lines("send_fax") == ["send_fax RECOVERING, its jobs start at a growing rate; 3 wait: it failed"]


def test_of_a_breaker_that_holds_one_organization_it_is_shown_which(organization: Organization) -> None:
    open_by_failures(make_fragile_type(type_name="send_fax"), organization)
    (line,) = lines("send_fax")
    assert line.startswith(f"send_fax OPEN for {organization.name} alone, next try in ")
    (told,) = json.loads(run("jobs_status", "--json"))["breakers"]
    assert (told["job_type"], told["organization"]) == ("send_fax", organization.name)


def test_of_many_open_breakers_the_first_are_shown() -> None:
    for number in range(MAX_BREAKERS + 1):
        open_by_failures(make_fragile_type(type_name=f"held_{number}", breaker_failures=1))
    assert len(lines("held_")) == MAX_BREAKERS
    assert lines("and more") == ["and more; jobs_check names all"]


def test_types_at_their_limits_are_shown_with_what_waits(organization: Organization) -> None:
    whole = make_job_type(type_name="a_whole", max_running=1)
    of_each = make_job_type(type_name="b_each", max_running_per_organization=1, concurrency_key="account")
    for kind in (whole, of_each):
        job_in("Running", job_type=kind, organization=organization)
    assert lines("At limits") == []
    for kind in (whole, of_each):
        pending_job(kind, organization)
    assert lines("a_whole") == ["a_whole: 1 of 1 run or are queued; 1 wait"]
    assert lines("b_each") == ["b_each: 1 organization at 1 and 1 account key at 1; 1 wait"]
