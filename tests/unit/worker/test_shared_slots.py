"""The memory that a child shares with its supervisor."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from django_jobs.worker.shared_slots import NO_WISH, REMEMBERED, WISH_CANCEL, WISH_LOST, Board


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.create(3)
    yield board
    board.close()


def test_a_new_board_is_empty(board: Board) -> None:
    assert board.running() == []


def test_a_handler_that_began_is_seen_with_its_attempt_and_timeout(board: Board) -> None:
    board.begin(1, 2**62, 3, 12.5)
    (running,) = board.running()
    assert (running.slot, running.key, running.timeout, running.wish) == (1, (2**62, 3), 12.5, NO_WISH)
    assert 0 <= running.seconds < 60


def test_a_handler_that_ended_is_seen_no_more(board: Board) -> None:
    board.begin(0, 1, 1, 1.0)
    board.begin(2, 2, 1, 1.0)
    board.end(0)
    assert [running.pk for running in board.running()] == [2]


def test_a_wish_is_for_what_runs_in_that_slot(board: Board) -> None:
    board.begin(0, 1, 1, 1.0)
    board.begin(1, 2, 1, 1.0)
    board.wish(board.running()[1], WISH_CANCEL)
    assert [(running.pk, running.wish) for running in board.running()] == [(1, NO_WISH), (2, WISH_CANCEL)]


def test_the_next_job_of_a_slot_does_not_inherit_a_wish(board: Board) -> None:
    board.begin(0, 1, 1, 1.0)
    board.wish(board.running()[0], WISH_CANCEL)
    board.end(0)
    board.begin(0, 2, 1, 1.0)
    assert board.running()[0].wish == NO_WISH


@pytest.mark.parametrize("follower", [(2, 1), (1, 2)], ids=["another job", "its next attempt"])
def test_a_wish_that_comes_too_late_is_not_for_what_runs_there_now(board: Board, follower: tuple[int, int]) -> None:
    board.begin(0, 1, 1, 1.0)
    (seen,) = board.running()
    board.end(0)
    board.begin(0, *follower, 1.0)
    board.wish(seen, WISH_CANCEL)
    assert board.running()[0].wish == NO_WISH
    board.wish(board.running()[0], WISH_LOST)
    assert board.running()[0].wish == WISH_LOST


def test_the_other_process_sees_the_same_board(board: Board) -> None:
    other = Board(board.descriptor, board.slots)
    board.begin(0, 1, 1, 1.0)
    assert [running.pk for running in other.running()] == [1]


def test_handlers_that_ended_are_remembered_and_the_oldest_forgotten(board: Board) -> None:
    for pk in range(1, REMEMBERED + 10):
        board.begin(pk % 3, pk, 2, 1.0)
        board.end(pk % 3)
    ended = board.ended()
    assert len(ended) == REMEMBERED + board.slots
    assert ((REMEMBERED + 9, 2) in ended, (1, 2) in ended, (0, 0) in ended) == (True, False, False)


def test_the_thread_of_a_handler_is_seen(board: Board) -> None:
    board.begin(0, 1, 1, 1.0)
    assert board.running()[0].thread == threading.get_ident()
