"""How a supervisor hears what it is ordered."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from django_jobs.models import WorkerOrder
from tests.support import verbs
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Order, OrderReader


@pytest.fixture
def reader(db: None, tuning: Tuning) -> OrderReader:
    tuning.set(order_pause_seconds=0.0)
    verbs.announce_worker("web-7-1", ["jobs-normal"], slots=1, supervisor="seven", supervisor_pid=7)
    return OrderReader("seven")


def give(order: Order) -> None:
    assert verbs.give_order("seven", order) is not None


def test_an_order_is_heard_and_that_is_noted(reader: OrderReader) -> None:
    reader.look()
    assert not reader.is_quiet
    give(Order.QUIET)
    reader.look()
    assert (reader.is_quiet, reader.is_stop) == (True, False)
    assert WorkerOrder.objects.get().obeyed_at is not None


def test_the_last_order_holds(reader: OrderReader) -> None:
    give(Order.QUIET)
    reader.look()
    give(Order.RESUME)
    assert WorkerOrder.objects.get().obeyed_at is None
    reader.look()
    assert not reader.is_quiet
    assert WorkerOrder.objects.get().obeyed_at is not None


def test_another_supervisor_hears_nothing(reader: OrderReader) -> None:
    give(Order.STOP)
    other = OrderReader("eight")
    other.look()
    assert not other.is_stop


def test_what_was_ordered_holds_while_the_database_is_away(reader: OrderReader, interpose: Interpose) -> None:
    give(Order.QUIET)
    reader.look()

    def fail(_: str) -> None:
        raise OperationalError("gone")

    interpose("read_orders", fail)
    with pytest.raises(OperationalError):
        reader.look()
    assert reader.is_quiet


def test_it_looks_once_in_some_seconds(reader: OrderReader, tuning: Tuning) -> None:
    tuning.set(order_pause_seconds=60.0)
    reader.look()
    give(Order.QUIET)
    reader.look()
    assert not reader.is_quiet


@pytest.mark.parametrize(("order", "is_noted"), [(Order.STOP, True), (Order.QUIET, False)])
def test_who_leaves_because_of_an_order_notes_that(reader: OrderReader, order: Order, is_noted: bool) -> None:
    give(order)
    reader.look()
    assert reader.is_quiet
    reader.leave()
    assert (WorkerOrder.objects.get().left_at is not None) == is_noted


def test_an_order_that_was_replaced_meanwhile_is_not_the_one_that_was_obeyed(reader: OrderReader) -> None:
    give(Order.QUIET)
    first = WorkerOrder.objects.get()
    give(Order.STOP)
    verbs.note_order_obeyed(first)
    assert WorkerOrder.objects.get().obeyed_at is None


def test_what_could_not_be_noted_is_noted_later(reader: OrderReader, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OperationalError("gone")

    give(Order.QUIET)
    with monkeypatch.context() as patch:
        Interpose(patch)("note_order_obeyed", fail)
        with pytest.raises(OperationalError):
            reader.look()
    reader.look()
    assert reader.is_quiet
    assert WorkerOrder.objects.get().obeyed_at is not None
