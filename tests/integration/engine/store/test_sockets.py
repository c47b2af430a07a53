"""How a store takes the places of open websockets."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth import get_user_model

from django_jobs.models import OpenSocket
from tests.support.verbs import Store

pytestmark = pytest.mark.django_db


@pytest.fixture
def user_pk() -> int:
    return int(get_user_model().objects.create_user("somebody").pk)


@pytest.mark.slow
def test_of_those_who_want_a_place_the_first_gets_it(each_store: Store, user_pk: int) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    both, new = uuid.uuid4(), uuid.uuid4()
    assert each_store.insert_sockets({both: user_pk}, first) == {both}
    assert each_store.insert_sockets({both: user_pk, new: user_pk}, second) == {new}
    assert each_store.insert_sockets({both: user_pk}, first) <= {both}
    assert dict(OpenSocket.objects.values_list("pk", "process")) == {both: first, new: second}


def test_places_are_taken_now_and_for_their_user(each_store: Store, user_pk: int) -> None:
    each_store.insert_sockets({uuid.uuid4(): user_pk for _ in range(3)}, uuid.uuid4())
    seen = OpenSocket.objects.values_list("user_id", "seen_at")
    assert len(seen) == 3
    assert {pk for pk, _ in seen} == {user_pk}
    assert max(abs(each_store.now() - moment).total_seconds() for _, moment in seen) < 60


def test_nobody_wants_a_place(each_store: Store) -> None:
    assert each_store.insert_sockets({}, uuid.uuid4()) == set()
