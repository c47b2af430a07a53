"""When ``jobs_check`` says that jobs wait while slots are free: where they may go, and nobody takes them."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, ClassVar

import pytest

from django_jobs import AccessPolicy
from django_jobs.models import Job, JobType, Organization
from django_jobs.pools import queue_names
from tests.support import verbs
from tests.support.brokers import MemoryBroker, pending_job, queue_up, start
from tests.support.commands import QUEUES
from tests.support.factories import make_job_type, make_organization
from tests.support.neglect import NONE, neglect, run_one, told
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose

pytestmark = pytest.mark.usefixtures("sound")

KEY: dict[str, Any] = {"concurrency_key": "account"}
LIMITS: list[dict[str, Any]] = [
    {"max_running": 1},
    {"max_running_per_organization": 1},
    KEY,
    {"max_starts": 1},
    {**KEY, "max_running_per_key": 5, "max_starts_per_key": 1},
]


class AtMostOne(AccessPolicy):
    """Lets one job of an organization be in flight, unless the test says another number."""

    limit: ClassVar[int] = 1

    def in_flight_limit(self, organization: Any) -> int:
        return self.limit


@pytest.fixture(autouse=True)
def _free_slots(sound: None) -> None:
    """Four slots of the default pool, and a broker that nobody pushes to unless a test does."""
    verbs.use_broker(MemoryBroker())
    verbs.announce_worker("worker-1", QUEUES, slots=4)


@pytest.fixture
def gpu(settings: Any) -> JobType:
    """A type of a pool beside the default one, with one worker that has one slot."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    verbs.announce_worker("gpu-1", queue_names("gpu"), slots=1)
    return make_job_type(pool="gpu")


def stuck(jobs: int, *, pool: str = "default", free: int, total: int) -> dict[str, Any]:
    return {"pool": pool, "jobs": jobs, "free": free, "total": total}


@pytest.mark.parametrize("fields", LIMITS)
def test_what_a_limit_holds_is_no_problem(organization: Organization, fields: dict[str, Any]) -> None:
    kind = make_job_type(**fields)
    run_one(kind, organization)
    neglect(kind, organization)
    assert (told().level, told().code) == ("OK", NONE)


@pytest.mark.parametrize("fields", LIMITS)
def test_the_same_backlog_with_room_is_a_problem(organization: Organization, fields: dict[str, Any]) -> None:
    neglect(make_job_type(**fields), organization, count=3)
    found = told()
    assert (found.level, found.code, found.facts["pools"]) == ("PROBLEM", "neglected", [stuck(1, free=4, total=4)])


@pytest.mark.parametrize("field", ["max_running", "max_running_per_organization", "max_running_per_key"])
def test_no_more_are_told_than_a_limit_lets_go(organization: Organization, field: str) -> None:
    fields = {**KEY, "max_running_per_key": 5, field: 3}
    kind = make_job_type(**fields)
    run_one(kind, organization)
    neglect(kind, organization, count=3)
    assert told().facts["pools"] == [stuck(2, free=3, total=4)]


def test_a_type_whose_jobs_come_under_another_key_is_no_problem(organization: Organization) -> None:
    neglect(make_job_type(**KEY), organization)
    JobType.objects.update(keyed_by="customer")
    assert told().code == NONE


@pytest.mark.parametrize("hopped", [0, verbs.NEGLECTED_MAX_HOPPED])
@pytest.mark.parametrize("fields", [{"max_running_per_organization": 1}, KEY])
def test_a_full_lane_does_not_hide_another_one(
    organization: Organization, tuning: Tuning, fields: dict[str, Any], hopped: int
) -> None:
    tuning.set(neglected_jobs_full_lanes=hopped)
    kind = make_job_type(**fields)
    run_one(kind, organization)
    for owner in (organization, make_organization()):
        neglect(kind, owner)
    assert told().facts["pools"][0]["jobs"] == 1


@pytest.mark.parametrize(("limit", "level"), [(1, "OK"), (2, "PROBLEM")])
def test_an_organization_at_the_limit_of_the_policy_is_no_problem(
    organization: Organization, monkeypatch: pytest.MonkeyPatch, interpose: Interpose, limit: int, level: str
) -> None:
    interpose("get_policy", AtMostOne)
    monkeypatch.setattr(AtMostOne, "limit", limit)
    verbs.forget_tenant_shares()
    run_one(make_job_type(), organization)
    neglect(make_job_type(), organization)
    assert told().level == level


@pytest.mark.parametrize(("limit", "level"), [(1, "OK"), (2, "PROBLEM")])
def test_an_organization_at_the_limit_of_the_setting_is_no_problem(
    organization: Organization, settings: Any, limit: int, level: str
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": limit}
    run_one(make_job_type(), organization)
    neglect(make_job_type(), organization)
    assert told().level == level


def test_what_waits_behind_a_full_window_is_no_problem(organization: Organization) -> None:
    verbs.announce_worker("worker-1", QUEUES, slots=2)
    for _ in range(2):
        queue_up(pending_job(organization=organization))
    neglect(make_job_type(), organization)
    assert told().code == NONE


# -- pools


def test_a_busy_pool_beside_an_idle_one_is_no_problem(gpu: JobType, organization: Organization) -> None:
    run_one(gpu, organization, "gpu-1")
    neglect(gpu, organization)
    assert told().code == NONE


def test_a_pool_with_free_slots_is_named(gpu: JobType, organization: Organization) -> None:
    for _ in range(4):
        run_one(make_job_type(), organization)
    neglect(make_job_type(), organization)
    neglect(gpu, organization, count=2)
    assert told().facts["pools"] == [stuck(2, pool="gpu", free=1, total=1)]


def test_tickets_of_a_busy_pool_are_no_problem(gpu: JobType, organization: Organization) -> None:
    run_one(gpu, organization, "gpu-1")
    queue_up(pending_job(gpu, organization))
    Job.objects.filter(status="Queued").update(queued_at=verbs.now() - dt.timedelta(hours=1))
    assert told().code == NONE
    Job.objects.filter(status="Running").update(worker_name="default-1")
    assert told().facts["pools"] == [stuck(1, pool="gpu", free=1, total=1)]


def test_a_worker_of_two_pools_that_is_busy_serves_neither(gpu: JobType, organization: Organization) -> None:
    verbs.withdraw_worker("gpu-1")
    verbs.withdraw_worker("worker-1")
    verbs.announce_worker("both-1", [*queue_names("gpu"), *QUEUES], slots=1)
    run_one(make_job_type(), organization, "both-1")
    neglect(gpu, organization)
    assert (told().code, told().facts) == ("all_busy", {"slots": 1})


def test_a_pool_without_workers_needs_some(gpu: JobType, organization: Organization) -> None:
    verbs.withdraw_worker("gpu-1")
    neglect(gpu, organization)
    assert told().facts["pools"] == [stuck(1, pool="gpu", free=0, total=0)]


# -- two looks


def test_a_type_that_moves_between_the_looks_is_no_problem(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = neglect(make_job_type(), organization, count=2)
    monkeypatch.setattr(time, "sleep", lambda _: start(first, "worker-1"))
    assert told().code == NONE


def test_a_pool_that_turns_over_its_slots_between_the_looks_is_no_problem(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slots were free for a moment: what started ran in another worker, which is gone."""
    neglect(make_job_type(), organization)
    others = [pending_job(organization=organization) for _ in range(4)]
    monkeypatch.setattr(time, "sleep", lambda _: [start(job, "gone-1") for job in others])
    assert told().code == NONE
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert told().level == "PROBLEM"


# -- what it costs


def test_of_a_long_lane_some_jobs_are_looked_at(organization: Organization) -> None:
    neglect(make_job_type(), organization, count=verbs.NEGLECTED_JOBS_OF_LANE + 2)
    assert told().facts["pools"][0]["jobs"] == verbs.NEGLECTED_JOBS_OF_LANE


def test_lanes_that_are_hopped_over_fill_no_page(tuning: Tuning) -> None:
    tuning.set(neglected_jobs_lanes_of_type=4, neglected_jobs_pages=1)
    kind, organizations = make_job_type(max_running_per_organization=1), [make_organization() for _ in range(6)]
    for organization in organizations[:5]:
        run_one(kind, organization, "gone-1")
    for organization in organizations:
        neglect(kind, organization)
    assert told().facts["pools"][0]["jobs"] == 1
    tuning.set(neglected_jobs_full_lanes=0)
    assert told().code == NONE


def test_pages_are_turned_until_one_has_something_that_may_go(interpose: Interpose, tuning: Tuning) -> None:
    interpose("get_policy", AtMostOne)
    tuning.set(neglected_jobs_lanes_of_type=4)
    verbs.forget_tenant_shares()
    kind, organizations = make_job_type(), [make_organization() for _ in range(14)]
    for organization in organizations[:10]:
        run_one(make_job_type(), organization, "gone-1")
    for organization in organizations:
        neglect(kind, organization)
    assert told().facts["pools"][0]["jobs"] == 2
    tuning.set(neglected_jobs_pages=2)
    assert told().code == NONE
