"""The system checks of POOLS, each both ways."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import verbs
from tests.support.checks import checked

REDIS = {"URL": "redis://localhost:6379/0"}
NAMES = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")


@pytest.mark.parametrize(
    "value",
    [{}, {"gpu": {}}, {"default": {}, "a_B-9": {}}, {"gpu": {"QUEUES": {"High": "fast"}}, "cpu": {"QUEUES": {}}}],
)
def test_pools_with_queues_of_their_own_are_fine(settings: Any, value: Any) -> None:
    settings.DJANGO_JOBS = {"POOLS": value}
    assert checked("E023", "E024") == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "must be a dict of pools"),
        (["gpu"], "must be a dict of pools"),
        ({"a b": {}}, "no name of a pool"),
        ({"ü": {}}, "no name of a pool"),
        ({"x" * 41: {}}, "no name of a pool"),
        ({"": {}}, "no name of a pool"),
        ({7: {}}, "no name of a pool"),
        ({"gpu": None}, "must be a dict"),
        ({"gpu": {"QUEUE": {}}}, "unknown keys: QUEUE"),
        ({"gpu": {"QUEUES": ["a"]}}, "must be a dict of queues"),
        ({"gpu": {"QUEUES": {"Urgent": "a"}}}, "unknown priorities: Urgent"),
        ({"gpu": {"QUEUES": {"High": ""}}}, "no name of a queue"),
        ({"gpu": {"QUEUES": {"High": "a,b"}}}, "no name of a queue"),
        ({"default": {"QUEUES": {"High": "a"}}}, "DJANGO_JOBS['QUEUES']"),
    ],
)
def test_what_is_no_pool_is_told(settings: Any, value: Any, words: str) -> None:
    settings.DJANGO_JOBS = {"POOLS": value}
    (message,) = checked("E023", "E024")
    assert message.id == "django_jobs.E023"
    assert words in message.msg


@pytest.mark.parametrize("other", ["jobs-high", "jobs-cpu-low"])
def test_two_pools_share_no_queue(settings: Any, other: str) -> None:
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {"QUEUES": {"Low": other}}, "cpu": {}}}
    (message,) = checked("E023", "E024")
    assert message.id == "django_jobs.E024"
    assert other in message.msg


def test_a_pools_queue_in_another_redis_is_told(settings: Any) -> None:
    settings.RQ_QUEUES = {**dict.fromkeys(NAMES, REDIS), "jobs-gpu-low": {"URL": "redis://localhost:6379/1"}}
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {}}}
    (message,) = verbs.check_one_redis()
    assert message.id == "django_jobs.W012"
    assert "jobs-gpu-low" in message.msg
