"""What decides a job's fate is read where it is written, although a host's router sends reads to a lagging replica."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User

from django_jobs.models import Job, Membership, Organization
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.attempts import FreeRunner
from tests.support.brokers import WORKER, pending_job, queue_up, reread, ticket_of
from tests.support.factories import make_job_type, make_user
from tests.support.replicas import REPLICA, lagging_replica

pytestmark = pytest.mark.usefixtures("broker")


def claimed(job: Job) -> Any:
    """The job's status after a worker took its ticket, whose host reads everything from the replica."""
    ticket = ticket_of(queue_up(job))
    with lagging_replica(of_all=True):
        verbs.claim([ticket], WORKER)
    row = reread(job)
    return row.status, row.error_message


def test_an_owner_whom_the_replica_does_not_know_yet_is_found(organization: Organization) -> None:
    job = pending_job(organization=organization, user=make_user(member_of=[organization]))
    assert claimed(job) == ("Running", "")


@pytest.mark.parametrize("by", ["user", "group"])
def test_a_permission_that_the_replica_does_not_know_yet_counts(organization: Organization, by: str) -> None:
    user = make_user(member_of=[organization])
    permission = Permission.objects.get(codename="view_job")
    if by == "user":
        user.user_permissions.add(permission)
    else:
        group = Group.objects.create(name="readers")
        group.permissions.add(permission)
        user.groups.add(group)
    kind = make_job_type(requires_permission="django_jobs.view_job")
    assert claimed(pending_job(kind, organization, user=User.objects.get(pk=user.pk))) == ("Running", "")


def test_a_hosts_own_policy_reads_what_is_true_too(organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.ByRelations"}
    job = pending_job(organization=organization, user=make_user(member_of=[organization]))
    assert claimed(job) == ("Running", "")


def test_an_owner_who_left_is_refused_although_the_replica_still_knows_them(
    organization: Organization, reasons: Reasons
) -> None:
    job = pending_job(organization=organization, user=make_user(member_of=[organization]))
    Membership.objects.all().delete()
    assert (claimed(job)[0], reasons(job)) == ("Dead Letter", ["may_not_submit"])


def test_a_handler_submits_for_an_owner_whom_the_replica_does_not_know_yet(organization: Organization) -> None:
    child = make_job_type()
    job = pending_job(organization=organization, user=make_user(member_of=[organization]))
    (attempt,) = verbs.claim([ticket_of(queue_up(job))], WORKER)
    context: Any = verbs.context_for(attempt, FreeRunner())
    with lagging_replica(of_all=True):
        made = context.submit_job(child.pk)
    assert made.owner_name == job.owner_name


def test_reads_that_decide_nothing_go_where_the_host_sends_them() -> None:
    make_user("someone")
    with lagging_replica(of_all=True) as replica:
        with verbs.fresh_reads():
            with verbs.fresh_reads():
                assert User.objects.filter(username="someone").exists()
            assert User.objects.filter(username="someone").db == "default"
        assert not replica.read
        assert User.objects.all().db == REPLICA
