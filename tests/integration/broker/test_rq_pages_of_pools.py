"""django-rq's pages of a configured pool's queues: there for system admins, and guarded as the default pool's are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import django_rq
import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from django_rq.settings import get_queues_map
from rq import Queue
from rq.registry import FailedJobRegistry

from django_jobs import submit_job
from tests.support import verbs
from tests.support.bombs import plant, register_as_running
from tests.support.django_rq import ROOTS, TICKET, pages_of_queue
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import UNREAD

#: The second is named by the pool's own setting.
QUEUES: Final = ("jobs-gpu-normal", "fast-lane")


@pytest.fixture(autouse=True)
def _pool(redis_client: redis.Redis, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {"QUEUES": {"High": "fast-lane"}}}}
    verbs.forget_pools()


def pages(queue: str, entry: str) -> list[str]:
    """What there is to read about a queue and an entry of it."""
    return pages_of_queue(get_queues_map()[queue], entry)


@pytest.mark.parametrize("root", ROOTS)
def test_the_list_of_queues_has_those_of_the_pool(boss: Client, root: str) -> None:
    shown = boss.get(root).content.decode()
    for name in ("jobs-gpu-critical", "fast-lane", "jobs-gpu-normal", "jobs-gpu-low", "jobs-normal"):
        assert f">{name}<" in "".join(shown.split()), name
    assert "jobs-gpu-high" not in shown


@pytest.mark.parametrize("root", ROOTS)
def test_the_page_of_a_queue_shows_the_ticket_of_a_job_of_the_pool(boss: Client, root: str) -> None:
    job = submit_job(make_job_type(pool="gpu"), make_organization())
    verbs.dispatch_new(job)
    shown = boss.get(f"{root}queues/{get_queues_map()['jobs-gpu-normal']}/")
    assert (shown.status_code, f"{job.name}-1" in shown.content.decode()) == (200, True)
    other = boss.get(f"{root}queues/{get_queues_map()['jobs-normal']}/")
    assert f"{job.name}-1" not in other.content.decode()


@pytest.mark.parametrize("entry", ["abc", TICKET])
@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("root", ROOTS)
def test_no_page_executes_what_an_entry_holds(
    boss: Client, redis_client: redis.Redis, trace: Path, entry: str, queue: str, root: str
) -> None:
    plant(redis_client, entry, trace, queue=queue)
    redis_client.zadd(f"rq:failed:{queue}", {entry: 9e9})
    redis_client.zadd(f"rq:finished:{queue}", {entry: 9e9})
    register_as_running(redis_client, entry, queue=queue, abandoned=False)
    for page in pages(queue, entry):
        assert boss.get(root + page).status_code == 200, page
    actions = {"action": "requeue", "job_ids": [entry], "_selected_action": [entry]}
    index = get_queues_map()[queue]
    for page in (f"queues/confirm-action/{index}/", f"queues/actions/{index}/", f"queues/{index}/requeue-all/"):
        assert boss.post(root + page, actions).status_code in {200, 302}, page


@pytest.mark.parametrize("queue", QUEUES)
def test_the_maintenance_of_the_dashboard_calls_nothing_that_an_abandoned_entry_names(
    boss: Client, redis_client: redis.Redis, trace: Path, queue: str
) -> None:
    plant(redis_client, "abc", trace, queue=queue)
    register_as_running(redis_client, "abc", queue=queue, abandoned=True)
    assert boss.get("/django-rq/").status_code == 200
    assert redis_client.zcard(f"rq:wip:{queue}") == 0
    assert boss.get(f"/django-rq/queues/{get_queues_map()[queue]}/failed/").status_code == 200


@pytest.mark.parametrize("queue", QUEUES)
def test_entries_are_read_as_unread(redis_client: redis.Redis, trace: Path, queue: str) -> None:
    plant(redis_client, "abc", trace, queue=queue)
    redis_client.zadd(f"rq:failed:{queue}", {"abc": 9e9})
    assert [job.func_name for job in django_rq.get_queue(queue).get_jobs()] == [UNREAD]
    failed: Any = FailedJobRegistry(queue, connection=redis_client)
    assert failed.job_class.fetch("abc", redis_client, failed.serializer).func_name == UNREAD


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("queue", QUEUES)
def test_staff_who_are_no_system_admins_see_nothing_and_empty_nothing(
    client: Client, clerk: User, redis_client: redis.Redis, queue: str, root: str
) -> None:
    redis_client.rpush(f"rq:queue:{queue}", TICKET)
    redis_client.hset(f"rq:job:{TICKET}", mapping={"data": "x", "origin": queue})
    client.force_login(clerk)
    index = get_queues_map()[queue]
    for page in pages(queue, TICKET):
        assert client.get(root + page).status_code == 403, page
    for page in ("empty/", f"{TICKET}/delete/", "requeue-all/", f"{TICKET}/stop/"):
        assert client.post(f"{root}queues/{index}/{page}").status_code == 403, page
    assert redis_client.lrange(f"rq:queue:{queue}", 0, -1) == [TICKET.encode()]


def test_who_is_not_there_is_sent_to_the_login(client: Client) -> None:
    for page in pages("jobs-gpu-normal", TICKET):
        assert client.get(f"/django-rq/{page}").status_code == 302, page


def test_what_the_host_lets_run_is_readable(redis_client: redis.Redis, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "FOREIGN_RQ_JOBS": "run"}
    queue = Queue("jobs-gpu-normal", connection=redis_client)
    queue.enqueue("operator.add", 1, 2)
    assert [job.args for job in queue.get_jobs()] == [(1, 2)]
