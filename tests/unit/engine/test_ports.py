"""Tickets as text, and the broker of the process."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import verbs
from tests.support.brokers import MemoryBroker
from tests.support.verbs import RQBroker, Ticket


@given(st.builds(Ticket, st.integers(1, 2**63 - 1), st.integers(1000, 9999), st.integers(1, 10_000), st.just(2)))
def test_a_ticket_is_read_back_from_its_id(ticket: Ticket) -> None:
    assert Ticket.parse(ticket.id, 2) == ticket


def test_a_ticket_names_the_attempt_that_its_claim_will_give() -> None:
    assert Ticket(1, 2026, 3, 1).id == "JOB-2026-00001-3"


def test_another_rq_jobs_id_is_no_ticket(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "",
        "JOB-2026-00001",
        "JOB-2026-00001-",
        "JOB-2026-00001-x",
        "JOB-2026-00001-\u0663",
        "JOB-2026-1-1",
        "5",
        "a-b-c",
        "JOB-2026-00001-0",
        "JOB-2026-00001-01",
        "JOB-2026-00001-2147483648",
        "JOB-2026-00001-" + "9" * 5000,
        "JOB-2026-" + "9" * 5000 + "-1",
        "JOB-2026-9223372036854775808-1",
        "JOB-2026-00001-1\n",
    ]
    for text in cases:
        with subtests.test(text=text):
            assert Ticket.parse(text, 1) is None


def test_the_broker_of_a_process_is_the_one_on_rq_unless_another_is_put_in_place(broker: Any) -> None:
    other = MemoryBroker()
    verbs.use_broker(other)
    assert verbs.get_broker() is other
    verbs.use_broker(None)
    assert isinstance(verbs.get_broker(), RQBroker)
