"""The lines that are kept of an attempt, within bounds."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from django_jobs.engine.execution.handler_logs import LogLimits as Limits
from django_jobs.engine.execution.handler_logs import read_limits
from tests.support.verbs import LineBuffer


def record(text: str = "x", *args: Any, error: Any = None) -> logging.LogRecord:
    return logging.LogRecord("shop.mails", logging.INFO, __file__, 1, text, args, error)


def kept(lines: list[str], max_lines: int = 200, max_bytes: int = 32_768) -> tuple[list[str], list[str], int]:
    """The first and the last texts that are kept of these, and how many are not."""
    buffer = LineBuffer(Limits(logging.INFO, max_lines, max_bytes))
    for line in lines:
        buffer.add(record(line))
    found = buffer.close()
    assert found is not None
    return [line.text for line in found.first], [line.text for line in found.last], found.dropped


def test_what_has_room_is_kept_in_order() -> None:
    assert kept(["a", "b", "c"]) == (["a", "b", "c"], [], 0)


def test_of_many_lines_the_first_and_the_last_are_kept() -> None:
    assert kept([str(number) for number in range(10)], max_lines=4) == (["0", "1"], ["8", "9"], 6)


def test_of_much_text_the_first_and_the_last_are_kept() -> None:
    first, last, dropped = kept([f"{number:0200}" for number in range(50)], max_bytes=4_096)
    assert first[0].endswith("0")
    assert last[-1].endswith("49")
    assert len(first) + len(last) + dropped == 50
    assert len("".join([*first, *last])) < 4_096


@pytest.mark.parametrize("letter", ["x", "\N{SNOWMAN}", "\N{GRINNING FACE}"])
def test_a_line_is_cut_to_what_has_room(letter: str) -> None:
    first, last, _ = kept([letter * 100_000], max_bytes=4_096)
    assert (*first, *last)[0].endswith("…")
    assert len("".join([*first, *last]).encode()) < 4_096


def test_a_small_line_that_comes_late_does_not_go_before_larger_ones() -> None:
    first, last, dropped = kept(["a" * 400, "b" * 800, "c"], max_bytes=4_096)
    assert [*first, *last] == ["a" * 400, "b" * 800, "c"]
    assert dropped == 0


def test_what_cannot_be_formatted_is_masked_before_it_is_cut() -> None:
    buffer = LineBuffer(Limits(logging.INFO, 10, 4_096), lambda text: text.replace("hunter2", "*"))
    buffer.add(record("x" * 195 + "hunter2 %d", "three"))
    found = buffer.close()
    assert found is not None
    assert "hunt" not in found.first[0].text


def test_what_cannot_be_formatted_is_said_to_be() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    buffer = LineBuffer(Limits(logging.INFO, 10, 4_096))
    buffer.add(record("%d apples", "three"))
    buffer.add(record("%s", Broken()))
    buffer.add(record(Broken()))  # type: ignore[arg-type]
    found = buffer.close()
    assert found is not None
    told = [("TypeError", "%d apples"), ("RuntimeError", "%s"), ("RuntimeError", "Broken")]
    for line, (error, message) in zip(found.first, told, strict=True):
        assert (error in line.text, message in line.text, "no text" in line.text) == (True, True, False)


def test_an_exception_and_what_no_database_stores_are_kept() -> None:
    buffer = LineBuffer(Limits(logging.INFO, 10, 8_192))
    try:
        raise ValueError("no \x00 such \ud800 thing")
    except ValueError:
        buffer.add(record("it failed", error=sys.exc_info()))
    found = buffer.close()
    assert found is not None
    (line,) = found.first
    assert line.text.startswith("it failed\nTraceback")
    assert line.text.endswith("ValueError: no \ufffd such ? thing")
    assert (line.level, line.logger) == ("INFO", "shop.mails")


def test_nothing_is_kept_of_nothing_nor_after_the_end() -> None:
    buffer = LineBuffer(Limits(logging.INFO, 10, 4_096))
    assert buffer.close() is None
    buffer.add(record())
    assert buffer.close() is None


def test_the_setting_says_what_is_kept(settings: Any) -> None:
    assert read_limits() is None
    settings.DJANGO_JOBS = {"HANDLER_LOGS": {"level": "WARNING", "max_lines": 10}}
    assert read_limits() == Limits(logging.WARNING, 10, 32_768)


def test_what_is_hidden_is_hidden_before_the_line_is_cut() -> None:
    buffer = LineBuffer(Limits(logging.INFO, 10, 1_024), lambda text: text.replace("hunter2", "****"))
    buffer.add(record("x" * 435 + "hunter2" * 100))
    found = buffer.close()
    assert found is not None
    assert "h" not in "".join(line.text for line in (*found.first, *found.last))
