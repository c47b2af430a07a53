"""Which operation does already what somebody asks for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from django_jobs.models import JobType, Operation, Organization
from django_jobs.statuses import Priority, Status
from tests.support import verbs
from tests.support.brokers import pending_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.operations import finish, start
from tests.support.verbs import JobFilter, OperationRequest

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def mine() -> Organization:
    return make_organization()


@pytest.fixture
def kind(mine: Organization) -> JobType:
    found = make_job_type(type_name="mails")
    pending_job(found, mine)
    return found


def asked(action: str = "cancel", value: Any = None, **terms: Any) -> OperationRequest:
    return OperationRequest(action=action, filters=JobFilter(**{"job_types": ("mails",), **terms}), value=value)


def begin(user: User | None, action: str = "cancel", **terms: Any) -> Operation:
    return start(JobFilter(job_types=("mails",)), user, action, **terms)


def test_the_same_to_the_same_jobs_is_found_until_it_is_over(kind: JobType, system_admin: User) -> None:
    found = begin(system_admin)
    verbs.pause_operation(found)
    assert verbs.same_operation_under_way(asked(), system_admin) == found
    verbs.resume_operation(found)
    finish(found)
    assert verbs.same_operation_under_way(asked(), system_admin) is None
    assert verbs.operation_under_way(system_admin) == []


@pytest.mark.parametrize("other", [asked("retry"), asked(job_types=("faxes",)), asked(statuses=("Pending",))], ids=str)
def test_something_else_is_not_the_same(other: OperationRequest, kind: JobType, system_admin: User) -> None:
    begin(system_admin)
    assert verbs.same_operation_under_way(other, system_admin) is None


def test_another_priority_is_not_the_same(kind: JobType, system_admin: User) -> None:
    found = begin(system_admin, "set_priority", value="High")
    assert verbs.same_operation_under_way(asked("set_priority", "Low"), system_admin) is None
    assert verbs.same_operation_under_way(asked("set_priority", 2), system_admin) == found


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ({"status": ["Pending", "Failed"]}, {"status": ["Failed", "Pending", "Failed"]}),
        ({"status": "Pending"}, {"status": ["Pending", "", None], "job_type": None, "owner": None}),
        ({"status": "Pending"}, {"status": "Pending", "all": True}),
        ({"all": True}, {"status": Status.values}),
        ({"priority": "Normal"}, {"priority": int(Priority.NORMAL)}),
        ({"created_after": "2020-01-31T08:00:00Z"}, {"created_after": "2020-01-31T10:00:00+02:00"}),
        ({"parameters": None, "all": True}, {"all": True}),
    ],
    ids=str,
)
def test_the_same_jobs_in_another_spelling_are_the_same(
    kind: JobType, system_admin: User, stored: dict[str, Any], given: dict[str, Any]
) -> None:
    found = start(verbs.read_filter(stored), system_admin, "cancel")
    assert (
        verbs.same_operation_under_way(
            OperationRequest(action="cancel", filters=verbs.read_filter(given)), system_admin
        )
        == found
    )


def test_a_filter_of_another_release_is_compared_as_it_is_stored(kind: JobType, system_admin: User) -> None:
    first, second = begin(system_admin), begin(system_admin)
    Operation.objects.update(filters={"color": ["red"]})
    second.refresh_from_db()
    (status,) = verbs.describe_operations([second], system_admin)
    assert status.same_under_way == first.pk
    assert verbs.same_operation_under_way(asked(), system_admin) is None


def test_that_of_who_manages_one_organization_is_not_that_of_who_manages_all(
    kind: JobType, system_admin: User, mine: Organization
) -> None:
    boss = make_user("boss", admin_of=[mine])
    narrow = begin(boss)
    assert verbs.same_operation_under_way(asked(), system_admin) is None
    assert verbs.same_operation_under_way(asked(), None) is None
    assert verbs.same_operation_under_way(asked(), boss) == narrow


def test_that_of_another_system_admin_or_of_server_code_is_the_same(kind: JobType, system_admin: User) -> None:
    other = make_system_admin("other")
    found = begin(other)
    assert [verbs.same_operation_under_way(asked(), user) for user in (system_admin, None)] == [found, found]
    verbs.stop_operation(found)
    of_code = begin(None)
    assert verbs.same_operation_under_way(asked(), system_admin) == of_code


def test_staff_are_told_of_their_own_alone(kind: JobType, system_admin: User, mine: Organization) -> None:
    boss = make_user("boss", admin_of=[mine])
    begin(system_admin)
    own = begin(boss)
    assert verbs.operation_under_way(boss) == [own]
    (status,) = verbs.describe_operations([own], boss)
    assert status.same_under_way is None


def test_each_of_two_says_which_the_other_is(kind: JobType, system_admin: User) -> None:
    first, second = begin(system_admin), begin(system_admin)
    assert [item.same_under_way for item in verbs.describe_operations([first, second], system_admin)] == [
        second.pk,
        first.pk,
    ]
    verbs.stop_operation(second)
    assert [item.same_under_way for item in verbs.describe_operations([first, second], system_admin)] == [None, None]
