from __future__ import annotations

import pytest

from example_project.shop.fax_provider import (
    LineBusyError,
    NotInServiceError,
    Receipt,
    TooManyFaxesError,
    UnavailableError,
    is_busy,
    send_fax,
)
from tests.support import verbs


def send(number: str, attempt: int = 1) -> Receipt:
    return send_fax(number, "doc.pdf", key="JOB-2026-00001", attempt=attempt)


def test_a_number_out_of_service_is_refused_at_every_attempt() -> None:
    for attempt in (1, 9):
        with pytest.raises(NotInServiceError):
            send("+15550000000", attempt)


def test_a_number_is_busy_as_often_as_its_end_says() -> None:
    for attempt in (1, 2):
        with pytest.raises(LineBusyError):
            send("+15550000002", attempt)
    assert send("+15550000002", 3).number == "FAX-JOB-2026-00001"


def test_a_number_may_be_busy_for_ever() -> None:
    with pytest.raises(LineBusyError):
        send("+15550000099", 50)


def test_too_many_faxes_come_with_the_time_to_wait_and_pass() -> None:
    with pytest.raises(TooManyFaxesError) as caught:
        send("+15550000429")
    assert caught.value.retry_after == 2
    assert send("+15550000429", 2).number == "FAX-JOB-2026-00001"


def test_the_engine_reads_the_delay_of_an_http_error() -> None:
    with pytest.raises(UnavailableError) as caught:
        send("+15550000503")
    verdict = verbs.classify_error(caught.value)
    assert (verdict.kind, verdict.retry_after) == ("Transient", 2.0)


def test_the_same_question_has_the_same_answer() -> None:
    assert send("+15551234567") == send("+15551234567")


def test_other_numbers_are_busy_once_in_a_while() -> None:
    busy = sum(is_busy(f"+1555{number}", "doc.pdf", 1, seed=1) for number in range(1_001_000, 1_002_000))
    assert 150 < busy < 250
