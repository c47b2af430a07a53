"""Filters that name the same jobs are equal in one spelling, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs.engine.insight.filter import in_one_spelling

FINGERPRINT = "0f" * 32
WITH_ERRORS = ["Timed Out", "Dead Letter", "Failed"]

SAME = [
    ({"fingerprint_start": FINGERPRINT}, {"error_fingerprint": FINGERPRINT, "status": WITH_ERRORS}),
    ({"fingerprint_start": "0f", "status": ["Failed", "Pending"]}, {"fingerprint_start": "0f", "status": ["Failed"]}),
    ({"error": "down"}, {"error": "down", "status": WITH_ERRORS}),
    ({"parameters": ["a:1", "b:2"]}, {"parameters": ["b:2", "a:1", "a:1"]}),
    ({"parameters": ["a:1"]}, {"parameters": {"a": 1}}),
    ({"job_id": ["JOB-2026-00001", "JOB-2026-00002"]}, {"job_id": ["JOB-2026-00002", "JOB-2026-00001"]}),
]
DIFFERENT = [
    ({"status": []}, {"all": True}),
    ({"status": []}, {"status": ["Pending"]}),
    ({"error": "down"}, {"error": "Down"}),
    ({"error": "down"}, {"error": " down"}),
    ({"fingerprint_start": FINGERPRINT}, {"error_fingerprint": FINGERPRINT}),
    ({"fingerprint_start": FINGERPRINT.upper()}, {"error_fingerprint": FINGERPRINT.upper(), "status": WITH_ERRORS}),
    ({"fingerprint_start": FINGERPRINT, "error_fingerprint": "0a" * 32}, {"fingerprint_start": FINGERPRINT}),
    ({"fingerprint_start": "0f"}, {"error_fingerprint": "0f", "status": WITH_ERRORS}),
    ({"error_fingerprint": ""}, {"all": True}),
    ({"has_error": False}, {"has_error": True}),
    ({"job_type": ["a"]}, {"job_type": ["a", "b"]}),
    ({"batch": "BATCH-2026-00001"}, {"batch": "BATCH-0001-02026"}),
    ({}, {"all": True}),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=str)
def test_the_same_jobs_have_one_spelling(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert in_one_spelling(one) == in_one_spelling(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=str)
def test_other_jobs_have_another(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert in_one_spelling(one) != in_one_spelling(other)
