"""What organization and policy say of queued jobs: remembered for a second, and never for another question."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.contrib.auth.models import User

from django_jobs.models import Job, JobType, Membership, Organization
from tests.support import verbs
from tests.support.brokers import WORKER, pending_job, queue_up, reread, ticket_of
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

#: As it is outside these tests.
LIFETIME: Final = verbs.POLICY_CACHE_SECONDS


@pytest.fixture
def clock(tuning: Tuning) -> Clock:
    clock = Clock()
    tuning.set(policy_clock=clock, policy_answer_seconds=LIFETIME)
    return clock


def queued(**fields: Any) -> Job:
    return queue_up(pending_job(**fields))


def claimed(*jobs: Job) -> list[str]:
    """The statuses of these jobs after a worker took their tickets together."""
    verbs.claim([ticket_of(job) for job in jobs], WORKER)
    return [reread(job).status for job in jobs]


def set_active(organization: Organization, is_active: bool) -> None:
    Organization.objects.filter(pk=organization.pk).update(is_active=is_active)


@pytest.mark.parametrize(
    ("is_active", "before", "after"), [(True, "Running", "Pending"), (False, "Pending", "Running")]
)
def test_a_verdict_holds_for_a_second_and_no_longer(
    is_active: bool, before: str, after: str, organization: Organization, clock: Clock
) -> None:
    kind = make_job_type()
    first, second, third = (queued(job_type=kind, organization=organization) for _ in range(3))
    set_active(organization, is_active)
    assert claimed(first) == [before]
    set_active(organization, not is_active)

    clock.now += 0.99
    assert claimed(second) == [before]
    clock.now += 0.01
    assert claimed(third) == [after]


def test_an_answer_that_was_wanted_is_asked_for_again_before_it_is_too_old(
    organization: Organization, clock: Clock
) -> None:
    kind = make_job_type()
    first, second = (queued(job_type=kind, organization=organization) for _ in range(2))
    assert claimed(first) == ["Running"]
    clock.now += 0.8
    verbs.ask_policy_again()  # as the refiller does after each claim
    set_active(organization, False)
    clock.now += 0.8
    assert claimed(second) == ["Running"]


def test_of_two_types_each_has_its_own_verdict(settings: Any, organization: Organization) -> None:
    user = make_user(member_of=[organization])
    kinds = [make_job_type(type_name="a_first"), make_job_type(type_name="a_second")]
    jobs = [queued(job_type=kind, organization=organization, user=user) for kind in kinds]
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OnlyTheFirst"}

    assert claimed(*jobs) == ["Running", "Dead Letter"]


def test_of_two_organizations_each_has_its_own_verdict(organization: Organization) -> None:
    kind, suspended = make_job_type(), make_organization()
    jobs = [queued(job_type=kind, organization=item) for item in (organization, suspended)]
    set_active(suspended, is_active=False)

    assert claimed(*jobs) == ["Running", "Pending"]


def test_of_two_owners_each_has_its_own_verdict(organization: Organization) -> None:
    kind = make_job_type()
    stays, leaves = make_user(member_of=[organization]), make_user(member_of=[organization])
    jobs = [queued(job_type=kind, organization=organization, user=user) for user in (stays, leaves)]
    Membership.objects.filter(user=leaves).delete()

    assert claimed(*jobs) == ["Running", "Dead Letter"]


def test_a_permission_that_a_type_has_asked_for_since_counts_at_once(organization: Organization) -> None:
    user, kind = make_user(member_of=[organization]), make_job_type()
    assert claimed(queued(job_type=kind, organization=organization, user=user)) == ["Running"]
    job = queued(job_type=kind, organization=organization, user=user)
    JobType.objects.update(requires_permission="auth.add_user")
    assert claimed(job) == ["Dead Letter"]


def test_a_job_of_a_type_that_is_for_code_alone_by_now_runs(organization: Organization) -> None:
    job = queued(organization=organization, user=make_user(member_of=[organization]))
    JobType.objects.update(submit_by="code")
    assert claimed(job) == ["Running"]


def test_whoever_got_the_name_of_a_deleted_owner_has_their_own_verdict(organization: Organization) -> None:
    kind, jobs = make_job_type(), []
    for _ in range(2):
        User.objects.filter(username="ada").delete()
        user = make_user("ada", member_of=[organization])
        jobs.append(queued(job_type=kind, organization=organization, user=user))

    assert claimed(*jobs) == ["Dead Letter", "Running"]


def test_what_a_handler_submitted_has_another_verdict_than_what_a_user_did(organization: Organization) -> None:
    kind = make_job_type()
    user = make_user(member_of=[organization])
    by_user, by_handler = (queued(job_type=kind, organization=organization, user=user) for _ in range(2))
    Job.objects.filter(pk=by_handler.pk).update(submitted_by_id=by_user.pk)
    kind.submit_by = "admins"
    kind.save()

    assert claimed(by_user, by_handler) == ["Dead Letter", "Running"]
