"""What the page of failures was asked for, as the parameters of an address that asks for it again."""

from __future__ import annotations

from django_jobs.admin.failures import Chosen


def test_what_is_not_asked_for_is_left_out() -> None:
    assert Chosen(job_type="mails").query() == {"job_type": "mails"}


def test_a_change_takes_the_place_of_what_is_chosen() -> None:
    assert Chosen(job_type="mails", status="Failed").query(status="") == {"job_type": "mails"}


def test_a_blank_fingerprint_is_asked_for_too() -> None:
    chosen = Chosen(job_type="mails", fingerprint="")
    assert chosen.query(status="Failed") == {"job_type": "mails", "fingerprint": "", "status": "Failed"}
