"""Sockets that connect at the same moment are handled together, and each is judged alone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from rest_framework.authtoken.models import Token

from django_jobs.models import Organization
from tests.support import verbs
from tests.support.factories import make_organization, make_user
from tests.support.live import by_token, later_job, with_clients
from tests.support.statements import statements_of
from tests.support.tuning import Tuning
from tests.support.verbs import Handshake, Identity, Interpose, JoinRefused, Room, RoomTarget

pytestmark = pytest.mark.django_db(transaction=True)

REVOKED = 4401
TRY_AGAIN = 1013


def handshake_of(user: User) -> Handshake:
    return Handshake(Identity("token", Token.objects.get_or_create(user=user)[0].key))


def codes(*waiting: Handshake) -> list[int | None]:
    verbs.complete_handshake(waiting)
    return [handshake.code for handshake in waiting]


def test_each_is_judged_alone() -> None:
    user, gone = make_user(), make_user(is_active=False)
    nobody = Handshake(Identity("token", "nonsense"))
    found = codes(handshake_of(user), nobody, handshake_of(gone), handshake_of(user), handshake_of(make_user()))
    assert found == [0, REVOKED, REVOKED, 0, 0]


def test_of_clients_with_one_token_each_is_judged_by_its_own_headers(interpose: Interpose) -> None:
    user = make_user()
    interpose("active_user", lambda identity: user if identity.headers else REVOKED)
    found = [Handshake(Identity("token", "abc", headers=headers)) for headers in ({"x-app": "shop"}, {})]
    assert codes(*found) == [0, REVOKED]


def test_a_look_up_that_fails_sends_only_one_away(interpose: Interpose) -> None:
    real = verbs.active_user
    bad, good = handshake_of(make_user()), handshake_of(make_user())

    def fail_for_one(identity: Identity) -> Any:
        if identity == bad.identity:
            raise OperationalError("strange value")
        return real(identity)

    interpose("active_user", fail_for_one)
    assert codes(bad, good) == [TRY_AGAIN, 0]


def test_an_error_of_one_keeps_nobody_else_out(interpose: Interpose) -> None:
    real = verbs.active_user
    bad, good = handshake_of(make_user()), handshake_of(make_user())

    def fail_for_one(identity: Identity) -> Any:
        if identity == bad.identity:
            raise ValueError
        return real(identity)

    interpose("active_user", fail_for_one)
    assert codes(bad, good) == [0, 0]
    assert isinstance(bad.error, ValueError)
    assert good.user is not None


def test_a_ticket_is_not_used_twice_where_the_rest_is_tried_again(interpose: Interpose) -> None:
    real = verbs.active_user
    failures = [OperationalError("connection lost")]

    def fail_once(identity: Identity) -> Any:
        if failures:
            raise failures.pop()
        return real(identity)

    interpose("active_user", fail_once)
    assert codes(Handshake(Identity("ticket", verbs.make_socket_ticket(make_user())))) == [0]


def test_a_ticket_that_may_have_been_good_sends_nobody_away_for_good(interpose: Interpose) -> None:
    use = verbs.use_socket_ticket

    def lose_the_answer(ticket: str) -> Any:
        if use(ticket) is not None:
            raise OperationalError("connection lost")

    interpose("use_socket_ticket", lose_the_answer)
    good, bad = (
        Handshake(Identity("ticket", ticket)) for ticket in (verbs.make_socket_ticket(make_user()), "nonsense")
    )
    assert codes(good, bad) == [TRY_AGAIN, REVOKED]


def test_a_socket_that_the_server_gives_up_at_the_door_takes_no_place(interpose: Interpose, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)
    user, real = make_user(), verbs.active_user
    is_asked, may_go_on = threading.Event(), threading.Event()

    def slowly(identity: Identity) -> Any:
        is_asked.set()
        assert may_go_on.wait(10)
        return real(identity)

    interpose("active_user", slowly)
    client, late = by_token(user), by_token(user)

    @with_clients()
    async def is_in() -> bool:
        await client.open()
        assert await asyncio.to_thread(is_asked.wait, 10)
        client._socket.future.cancel()
        may_go_on.set()
        await asyncio.wait([client._socket.future])
        await late.open()
        found = await late.has_nothing()
        await late.leave()
        return found

    assert is_in


@pytest.mark.usefixtures("broker")
def test_of_organizations_that_are_joined_at_once_each_has_its_own_log(organization: Organization) -> None:
    jobs = [later_job(item) for item in (organization, make_organization())]
    targets = [RoomTarget(f"org:{job.organization.name}", job.organization_id) for job in jobs]
    found = verbs.read_joins([(target, 0, object()) for target in targets])
    told = [[event.job_pk for event in join.events] for join in found if not isinstance(join, Exception)]
    assert told == [[job.pk] for job in jobs]


def test_those_who_join_a_room_together_read_its_log_once(organization: Organization) -> None:
    target = RoomTarget(f"org:{organization.name}", organization.pk)
    one = statements_of(lambda: verbs.read_joins([(target, None, object())]))
    assert statements_of(lambda: verbs.read_joins([(target, None, object()) for _ in range(10)])) <= one


def test_a_room_that_is_refused_keeps_nobody_from_another(organization: Organization) -> None:
    user = make_user(member_of=[organization])
    unknown, found = verbs.authorize_joins([(user, Room("org", "nobody's")), (user, Room("org", organization.name))])
    assert isinstance(unknown, JoinRefused)
    assert isinstance(found, RoomTarget)
    assert found.organization_pk == organization.pk


def test_the_rights_of_one_are_not_those_of_another(organization: Organization) -> None:
    room = Room("org", organization.name)
    found, unknown = verbs.authorize_joins([(make_user(member_of=[organization]), room), (make_user(), room)])
    assert isinstance(found, RoomTarget)
    assert isinstance(unknown, JoinRefused)


def test_a_new_room_begins_beside_another_where_it_begins_alone(organization: Organization) -> None:
    [(before, _)] = verbs.first_watermarks([organization.pk])
    _, (beside_another, _) = verbs.first_watermarks([None, organization.pk])
    [(after, _)] = verbs.first_watermarks([organization.pk])
    assert before <= beside_another <= after  # other databases of the server move on meanwhile
