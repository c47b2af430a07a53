"""The system check that one Redis database serves all four queues, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import verbs

URL = "redis://:secret@127.0.0.1:6379/1"


def told(settings: Any, *configs: dict[str, Any]) -> list[str]:
    """The names of the queues that are said to be elsewhere, when the others are as the first."""
    names = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")
    last = configs[-1]
    settings.RQ_QUEUES = dict(zip(names, [configs[0]] * 3 + [last], strict=True))
    messages = verbs.check_one_redis()
    assert all("secret" not in str(message) for message in messages)
    assert all(message.id == "django_jobs.W012" for message in messages)
    return [name for name in names for message in messages if f"'{name}'" in message.msg]


def test_one_redis_database_is_fine_however_it_is_written(subtests: pytest.Subtests, settings: Any) -> None:
    cases: list[dict[str, Any]] = [
        {"URL": URL},
        {"URL": "redis://127.0.0.1/1"},
        {"URL": "redis://localhost:6379/?db=1"},
        {"URL": "redis://127.0.0.1:6379", "DB": 1},
        {"HOST": "127.0.0.1", "PORT": 6379, "DB": 1},
        {"HOST": "localhost", "PORT": "6379", "DB": "1", "DEFAULT_TIMEOUT": 60},
        {"HOST": "", "PORT": None, "DB": 1},
    ]
    for other in cases:
        with subtests.test(other=other):
            assert told(settings, {"URL": URL}, other) == []


def test_a_queue_in_another_redis_database_is_told(subtests: pytest.Subtests, settings: Any) -> None:
    cases: list[dict[str, Any]] = [
        {"URL": "redis://127.0.0.1:6379/2"},
        {"URL": "redis://127.0.0.1:6380/1"},
        {"URL": "redis://cache/1"},
        {"URL": "unix:///run/redis.sock?db=1"},
        {"HOST": "127.0.0.1", "PORT": 6379},
        {"UNIX_SOCKET_PATH": "/run/redis.sock", "DB": 1},
        {"SENTINELS": [("a", 26379)], "MASTER_NAME": "m", "DB": 1},
        {"URL": "redis://127.0.0.1:none/1"},
    ]
    for other in cases:
        with subtests.test(other=other):
            assert told(settings, {"URL": URL}, other) == ["jobs-normal", "jobs-low"]


def test_a_queue_that_is_missing_is_another_checks_affair(settings: Any) -> None:
    settings.RQ_QUEUES = {"jobs-normal": {"URL": URL}}
    assert verbs.check_one_redis() == []


@pytest.mark.parametrize("value", [None, ["jobs-normal"], {"jobs-normal": URL}, {"jobs-normal": {}, "jobs-low": None}])
def test_queues_that_are_no_dicts_are_another_checks_affair(settings: Any, value: Any) -> None:
    settings.RQ_QUEUES = value
    assert verbs.check_one_redis() == []
