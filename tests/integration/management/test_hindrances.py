"""What ``jobs_status`` shows of breakers and limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_jobs.models import Organization
from tests.support.breakers import claim_try, let_pass, make_fragile_type, open_by_failures
from tests.support.brokers import end, job_in, pending_job, returned
from tests.support.commands import run
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


def told(of: str) -> Any:
    """What the command tells programs of breakers or limits."""
    return json.loads(run("jobs_status", "--json"))[of]


def shown() -> str:
    """The lines of the text that begin with two blanks."""
    return "\n".join(line for line in run("jobs_status").splitlines() if line.startswith("  "))


def test_an_open_breaker_is_shown_with_its_next_try() -> None:
    kind = make_fragile_type(type_name="send_fax")
    assert told("breakers") == []
    assert "send_fax" not in shown()
    open_by_failures(kind)
    (item,) = told("breakers")
    assert (item["job_type"], item["organization"], item["state"]) == ("send_fax", None, "Open")
    assert (item["waiting"], item["error"], bool(item["next_try_at"])) == (3, "it failed", True)
    assert all(part in shown() for part in ("send_fax", "3", "it failed"))
    let_pass(kind, kind.breaker_pause)
    (later,) = told("breakers")
    assert (later["state"], later["next_try_at"] < item["next_try_at"]) == ("Open", True)
    pending_job(kind)
    end(returned(claim_try(kind)))
    (item,) = told("breakers")
    assert (item["state"], item["next_try_at"], item["waiting"]) == ("Recovering", None, 3)
    assert "send_fax" in shown()


def test_of_a_breaker_that_holds_one_organization_it_is_shown_which(organization: Organization) -> None:
    open_by_failures(make_fragile_type(type_name="send_fax"), organization)
    assert all(name in shown() for name in ("send_fax", organization.name))
    (item,) = told("breakers")
    assert (item["job_type"], item["organization"]) == ("send_fax", organization.name)


def test_types_at_their_limits_are_shown_with_what_waits(organization: Organization) -> None:
    whole = make_job_type(type_name="a_whole", max_running=1)
    of_each = make_job_type(type_name="b_each", max_running_per_organization=1, concurrency_key="account")
    for kind in (whole, of_each):
        job_in("Running", job_type=kind, organization=organization)
    assert (told("limits"), "a_whole" in shown()) == ([], False)
    for kind in (whole, of_each):
        pending_job(kind, organization)
    whole_told, each_told = sorted(told("limits"), key=lambda item: item["job_type"])
    assert (whole_told["job_type"], whole_told["in_use"], whole_told["max_running"]) == ("a_whole", 1, 1)
    assert (each_told["job_type"], each_told["full_organizations"], each_told["full_keys"]) == ("b_each", 1, 1)
    assert (whole_told["waiting"], each_told["waiting"], each_told["waiting_capped"]) == (1, 1, False)
    assert all(name in shown() for name in ("a_whole", "b_each"))
