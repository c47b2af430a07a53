"""Which pools and queues there are, by the settings; and what is filled into RQ_QUEUES."""

from __future__ import annotations

from typing import Any

import django_rq
import pytest
from django_rq.settings import get_queues_list

from django_jobs import pools
from django_jobs.pools import Queue

OURS = {name: {"URL": "redis://localhost:6379/5"} for name in pools.queue_names()}


def test_without_the_setting_there_is_the_default_pool_with_the_four_queues() -> None:
    assert pools.names() == ("default",)
    assert pools.queue_names() == ["jobs-critical", "jobs-high", "jobs-normal", "jobs-low"]


def test_a_pool_has_four_queues_of_its_own(settings: Any) -> None:
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {}}}
    assert pools.names() == ("default", "gpu")
    assert pools.queue_names("gpu") == ["jobs-gpu-critical", "jobs-gpu-high", "jobs-gpu-normal", "jobs-gpu-low"]
    assert Queue("gpu", 3).name == "jobs-gpu-critical"
    assert pools.by_queue_name()["jobs-gpu-low"] == Queue("gpu", 0)


def test_a_pool_may_name_some_of_its_queues(settings: Any) -> None:
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {"QUEUES": {"High": "fast"}}}}
    assert pools.queue_names("gpu") == ["jobs-gpu-critical", "fast", "jobs-gpu-normal", "jobs-gpu-low"]
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {"QUEUES": {"High": "fast", "Low": "fast"}}}}
    assert pools.by_queue_name()["fast"] == Queue("gpu", 0)
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {"QUEUES": {"High": "fast"}}, "cpu": {"QUEUES": {"Low": "fast"}}}}
    assert pools.by_queue_name()["fast"] == Queue("gpu", 2)
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {"QUEUES": ["fast"]}}}
    assert pools.queue_names("gpu")[1] == "jobs-gpu-high"


@pytest.mark.parametrize(
    "value", [None, [], ["gpu"], "gpu", {"default": {}}, {"a b": {}}, {"": {}}, {7: {}}, {"x" * 41: {}}]
)
def test_what_checks_refuse_makes_no_pool(settings: Any, value: Any) -> None:
    settings.DJANGO_JOBS = {"POOLS": value}
    assert pools.names() == ("default",)


def test_queues_are_served_by_their_names(settings: Any) -> None:
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {}}}
    assert pools.served_by(["jobs-gpu-low", "jobs-high", "other"]) == {Queue("gpu", 0), Queue("default", 2)}
    assert pools.served_by([]) == {Queue("default", priority) for priority in range(4)}


def test_queues_of_pools_get_the_connection_of_the_normal_queue(settings: Any) -> None:
    settings.RQ_QUEUES = dict(OURS)
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {}}}
    assert settings.RQ_QUEUES["jobs-gpu-high"] == OURS["jobs-normal"]
    assert "jobs-gpu-high" in [item["name"] for item in get_queues_list()]
    assert django_rq.get_queue("jobs-gpu-high").connection.connection_pool.connection_kwargs["db"] == 5
    settings.RQ_QUEUES = {**OURS, "jobs-normal": {"URL": "redis://localhost:6379/6"}}
    assert settings.RQ_QUEUES["jobs-gpu-high"] == settings.RQ_QUEUES["jobs-normal"]


def test_what_the_host_defines_stays(settings: Any) -> None:
    own = {"URL": "redis://localhost:6379/7"}
    settings.RQ_QUEUES = {**OURS, "jobs-gpu-high": own}
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {}}}
    assert settings.RQ_QUEUES["jobs-gpu-high"] is own


def test_a_pool_that_goes_takes_its_queues_with_it(settings: Any) -> None:
    settings.RQ_QUEUES = dict(OURS)
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {}}}
    settings.DJANGO_JOBS = {"POOLS": {}}
    assert settings.RQ_QUEUES == OURS


def test_a_queue_that_the_host_defines_afterwards_stays_when_its_pool_goes(settings: Any) -> None:
    settings.RQ_QUEUES = dict(OURS)
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {}}}
    own = settings.RQ_QUEUES["jobs-gpu-high"] = {"URL": "redis://localhost:6379/7"}
    settings.DJANGO_JOBS = {"POOLS": {}}
    assert {**OURS, "jobs-gpu-high": own} == settings.RQ_QUEUES


@pytest.mark.parametrize("queues", [None, {}, {"jobs-normal": None}, []])
def test_without_a_normal_queue_nothing_is_filled_in(settings: Any, queues: Any) -> None:
    settings.DJANGO_JOBS = {"POOLS": {"gpu": {}}}
    settings.RQ_QUEUES = queues
    assert queues == settings.RQ_QUEUES
