"""django-rq's pages and commands: for system admins, and nothing that lies in our queues is executed there."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Final

import django_rq
import pytest
import redis
from django.contrib.auth.models import User
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from rq import Queue, Worker
from rq.cron import CronJob
from rq.job import Job as RQJob
from rq.registry import StartedJobRegistry
from rq.utils import now, utcformat

from tests.support import verbs
from tests.support.bombs import plant, register_as_running
from tests.support.django_rq import ROOTS, TICKET, pages_of_queue
from tests.support.factories import make_user
from tests.support.verbs import UNREAD

#: jobs-normal, as django-rq counts the queues: sorted by name.
INDEX: Final = 3


@pytest.fixture(autouse=True)
def _redis(redis_client: redis.Redis) -> None:
    """Emptied."""


def pages(entry: str) -> list[str]:
    """What there is to read about a queue and an entry of it."""
    return ["", *pages_of_queue(INDEX, entry), "stats.json"]


@pytest.mark.parametrize("entry", ["abc", TICKET])
@pytest.mark.parametrize("origin", ["jobs-normal", "default"])
@pytest.mark.parametrize("root", ROOTS)
def test_no_page_executes_what_an_entry_holds(
    boss: Client, redis_client: redis.Redis, trace: Path, entry: str, origin: str, root: str
) -> None:
    plant(redis_client, entry, trace, origin=origin)
    redis_client.zadd("rq:failed:jobs-normal", {entry: 9e9})
    redis_client.zadd("rq:finished:jobs-normal", {entry: 9e9})
    register_as_running(redis_client, entry, abandoned=False)
    for page in pages(entry):
        assert boss.get(root + page).status_code == 200, page
    actions = {"action": "requeue", "job_ids": [entry], "_selected_action": [entry]}
    for page in (f"queues/confirm-action/{INDEX}/", f"queues/actions/{INDEX}/", f"queues/{INDEX}/requeue-all/"):
        assert boss.post(root + page, actions).status_code in {200, 302}, page


@pytest.mark.parametrize("entry", ["abc", TICKET])
def test_the_maintenance_of_the_dashboard_calls_nothing_that_an_abandoned_entry_names(
    boss: Client, redis_client: redis.Redis, trace: Path, entry: str
) -> None:
    plant(redis_client, entry, trace)
    register_as_running(redis_client, entry, abandoned=True)
    assert boss.get("/django-rq/").status_code == 200
    assert redis_client.zcard("rq:wip:jobs-normal") == 0
    assert boss.get(f"/django-rq/queues/{INDEX}/failed/").status_code == 200


def test_the_page_of_a_worker_executes_nothing_of_what_it_says_that_it_runs(
    boss: Client, redis_client: redis.Redis, trace: Path
) -> None:
    plant(redis_client, "abc", trace, origin="default")
    register_as_running(redis_client, "abc", abandoned=False)
    worker: Any = Worker(["jobs-normal"], name="w", connection=redis_client)
    worker.register_birth()
    redis_client.sadd("rq:worker:w:executions", "abc:e1")
    response = boss.get(f"/django-rq/workers/{INDEX}/rq:worker:w/")
    assert "abc" in response.content.decode()


def test_the_command_that_counts_executes_nothing(redis_client: redis.Redis, trace: Path) -> None:
    plant(redis_client, "abc", trace)
    call_command("rqstats", stdout=io.StringIO())
    assert [job.func_name for job in django_rq.get_queue("jobs-normal").get_jobs()] == [UNREAD]


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": b"\xff\xfe", "enqueued_at": "never", "started_at": "9" * 400},
        {"status": "\u00e9", "timeout": "x", "result_ttl": "1e9", "ttl": "?"},
        {"origin": b"\xff", "worker_name": b"\xfe", "dependency_ids": "{", "retries_left": "many"},
    ],
)
def test_an_entry_whose_hash_is_rubbish_breaks_no_page(
    boss: Client, redis_client: redis.Redis, trace: Path, fields: dict[str, Any]
) -> None:
    plant(redis_client, TICKET, trace)
    redis_client.hset(f"rq:job:{TICKET}", items=[part for item in fields.items() for part in item])
    for page in pages(TICKET):
        assert boss.get(f"/django-rq/{page}").status_code == 200, page


def test_megabytes_that_somebody_wrote_into_an_entry_are_not_shown(
    boss: Client, redis_client: redis.Redis, trace: Path
) -> None:
    plant(redis_client, TICKET, trace)
    redis_client.hset(f"rq:job:{TICKET}", mapping={"worker_name": "w" * 1_000_000, "origin": "o" * 1_000_000})
    for page in pages(TICKET):
        assert len(boss.get(f"/django-rq/{page}").content) < 500_000, page


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("place", ["queue", "finished", "failed", "scheduled", "wip", "deferred"])
def test_an_id_that_is_no_text_is_told_of(boss: Client, redis_client: redis.Redis, place: str, root: str) -> None:
    """django-rq decodes every id as UTF-8."""
    if place == "queue":
        redis_client.rpush("rq:queue:jobs-normal", b"\xff\xfe")
    else:
        redis_client.zadd(f"rq:{place}:jobs-normal", {b"\xff\xfe": 9e9})
    answers = {page: boss.get(root + page) for page in pages("abc") if "/abc/" not in page}
    assert {answer.status_code for answer in answers.values()} <= {200, 409}
    told = [answer.content.decode() for answer in answers.values() if answer.status_code == 409]
    assert told
    for text in told:
        assert "jobs_check" in text


def test_the_history_of_a_cron_job_executes_nothing_whatever_queue_it_names(
    boss: Client, redis_client: redis.Redis, trace: Path
) -> None:
    plant(redis_client, "abc", trace, origin="gone")
    job = {"func_name": "os.abort", "queue_name": "gone", "name": "nightly", "interval": 60}
    moment = utcformat(now())
    facts: dict[Any, Any] = {"name": "c", "hostname": "h", "pid": "1", "created_at": moment}
    facts["cron_jobs"] = json.dumps([job])
    redis_client.hset("rq:cron_scheduler:c", mapping=facts)
    redis_client.zadd("rq:cron_schedulers", {"c": 9e9})
    redis_client.zadd(CronJob.from_dict(job).job_history_key, {"abc": 9e8})
    for root in ROOTS:
        page = boss.get(f"{root}cron-schedulers/0/c/jobs/nightly/")
        assert (page.status_code, "abc" in page.text) == (200, True)


def test_queues_of_the_hosts_own_are_as_they_were(redis_client: redis.Redis) -> None:
    job = Queue("own", connection=redis_client).enqueue("operator.add", 1, 2)
    assert RQJob.fetch(job.id, connection=redis_client).args == (1, 2)
    assert StartedJobRegistry("own", connection=redis_client).serializer.loads(b"I1\n.") == 1


def test_what_the_host_lets_run_is_readable(redis_client: redis.Redis, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "FOREIGN_RQ_JOBS": "run"}
    queue = Queue("jobs-normal", connection=redis_client)
    queue.enqueue("operator.add", 1, 2)
    assert [job.args for job in queue.get_jobs()] == [(1, 2)]


@pytest.mark.parametrize("root", ROOTS)
def test_staff_who_are_no_system_admins_see_nothing_and_empty_nothing(
    client: Client, clerk: User, redis_client: redis.Redis, root: str
) -> None:
    redis_client.rpush("rq:queue:jobs-normal", TICKET)
    redis_client.hset(f"rq:job:{TICKET}", mapping={"data": "x", "origin": "jobs-normal"})
    client.force_login(clerk)
    for page in pages(TICKET):
        expected = 401 if page == "stats.json" else 403
        assert client.get(root + page).status_code == expected, page
    for page in ("empty/", f"{TICKET}/delete/", "requeue-all/", f"{TICKET}/stop/"):
        assert client.post(f"{root}queues/{INDEX}/{page}").status_code == 403, page
    assert client.post(f"{root}queues/actions/{INDEX}/", {"action": "delete", "job_ids": TICKET}).status_code == 403
    assert redis_client.lrange("rq:queue:jobs-normal", 0, -1) == [TICKET.encode()]


def test_the_admins_index_shows_the_link_to_those_alone_who_may_follow_it(
    client: Client, boss: Client, clerk: User, settings: Any
) -> None:
    assert "/admin/django_rq/dashboard/" in boss.get("/admin/").content.decode()
    client.force_login(clerk)
    assert "/admin/django_rq/dashboard/" not in client.get("/admin/").content.decode()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.StaffAreSystemAdmins"}
    assert "/admin/django_rq/dashboard/" in client.get("/admin/").content.decode()


def test_who_is_not_there_is_sent_to_the_login(client: Client) -> None:
    for page in pages(TICKET):
        assert client.get(f"/django-rq/{page}").status_code == (401 if page == "stats.json" else 302), page


def test_a_policy_that_fails_opens_nothing(client: Client, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.Broken"}
    client.force_login(make_user(is_staff=True, is_superuser=True))
    client.raise_request_exception = False
    assert client.get("/django-rq/").status_code == 500


def test_the_token_of_the_host_opens_the_statistics_whoever_is_logged_in(
    client: Client, clerk: User, settings: Any
) -> None:
    settings.RQ_API_TOKEN = "secret"
    client.force_login(clerk)
    header = {"authorization": "Bearer secret"}
    assert client.get("/django-rq/stats.json", headers=header).status_code == 200
    assert client.get("/django-rq/stats.json/secret/").status_code == 200
    assert client.get("/django-rq/stats.json/guess/").status_code == 401


def open_page(request: Any) -> HttpResponse:
    """A view of django-rq that is not guarded."""
    return HttpResponse()


open_page.__module__ = "django_rq.views"
urlpatterns = [path("rq/", open_page)]


def test_the_check_is_content_with_guarded_pages() -> None:
    assert verbs.check_django_rq_pages() == []


def test_the_check_names_a_page_that_is_open(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    (message,) = verbs.check_django_rq_pages()
    assert (message.id, "open_page" in message.msg) == ("django_jobs.W013", True)


def test_views_that_were_imported_before_the_apps_were_ready_are_guarded(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    import django_rq.urls

    pattern = path("rq/", open_page)
    monkeypatch.setattr(django_rq.urls, "urlpatterns", [pattern])
    verbs.install_rq_pages()
    assert hasattr(pattern.callback, verbs.GUARDED)
