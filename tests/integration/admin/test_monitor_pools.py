"""What the monitor tells of pools, where there are several: what waits, runs and works in each."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_jobs import pools
from django_jobs.models import JobType, Organization, Worker
from django_jobs.statuses import Priority
from tests.support import admin, verbs
from tests.support.admin import text
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type
from tests.support.monitor import monitor, page
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def _pools(settings: Any) -> None:
    configure(settings, "gpu")


@pytest.fixture
def gpu(_pools: None) -> JobType:
    return make_job_type(pool="gpu")


def configure(settings: Any, *names: str) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {name: {} for name in names}}


def announce(name: str, *queues: str, slots: int = 1) -> None:
    verbs.announce_worker(name, queues, slots=slots)


def rows(client: Client) -> dict[str, Any]:
    return {row["name"]: row for row in monitor(client)["pools"]}


def numbers(client: Client, pool: str) -> tuple[str, ...]:
    row = rows(client)[pool]
    return tuple(str(value) for value in (row["waiting"], row["queued"], row["running"], row["workers"], row["slots"]))


def shows_pools(shown: str) -> bool:
    return 'data-djobs-part="pools"><section' in shown


def test_what_waits_and_runs_is_told_pool_by_pool(root: Client, gpu: JobType, mine: Organization) -> None:
    pending_job(gpu, mine, priority="High")
    pending_job(gpu, mine)
    pending_job(gpu, mine, run_at=timezone.now() + dt.timedelta(hours=1))
    job_in("Queued", job_type=gpu, organization=mine)
    for status in ("Running", "Running", "Pending"):
        job_in(status, organization=mine)
    assert numbers(root, "gpu") == ("2", "1", "0", "0", "0")
    assert numbers(root, "default") == ("1", "0", "2", "0", "0")
    assert list(rows(root)) == ["default", "gpu"]


def test_a_long_backlog_is_counted_up_to_a_bound(
    root: Client, gpu: JobType, mine: Organization, tuning: Tuning
) -> None:
    tuning.set(monitor_counted_jobs=2)
    for _ in range(3):
        pending_job(gpu, mine)
    assert (str(rows(root)["gpu"]["waiting"]), str(rows(root)["default"]["waiting"])) == ("2+", "0")


@pytest.mark.usefixtures("_pools")
def test_workers_that_live_count_in_each_pool_that_they_serve(root: Client) -> None:
    announce("one", "jobs-gpu-normal", slots=4)
    announce("both", "jobs-gpu-high", "jobs-low", slots=2)
    announce("silent", "jobs-gpu-normal", slots=8)
    Worker.objects.filter(pk="silent").update(last_seen=timezone.now() - dt.timedelta(minutes=2))
    assert (numbers(root, "gpu")[3:], numbers(root, "default")[3:]) == (("2", "6"), ("1", "2"))


@pytest.mark.usefixtures("_pools")
def test_more_workers_than_are_read_are_told_as_at_least(root: Client, tuning: Tuning) -> None:
    tuning.set(monitor_counted_workers=1)
    announce("first", "jobs-gpu-normal", slots=4)
    announce("second", "jobs-gpu-normal", slots=4)
    assert numbers(root, "gpu")[3:] == ("1+", "4+")
    none = rows(root)["default"]
    assert [(amount.count, amount.is_cut) for amount in (none["workers"], none["slots"])] == [(0, True)] * 2


def test_the_number_of_types_leads_to_them(root: Client, gpu: JobType) -> None:
    make_job_type()
    row = rows(root)["gpu"]
    listed = root.get(row["types_url"]).context["cl"].result_list
    assert (row["types"], list(listed)) == ("1", [gpu])


@pytest.mark.usefixtures("_pools")
def test_a_worker_tells_what_it_serves(root: Client) -> None:
    announce("1", *pools.queue_names("gpu"))
    announce("2", *pools.queue_names("default"), "jobs-gpu-critical", "jobs-gpu-low")
    announce("3", "of-another-release")
    served = [str(row.serves) for row in monitor(root)["workers"]]
    some = f"{Priority.CRITICAL.label}, {Priority.LOW.label}"
    assert served == [f"<bdi>{words}</bdi>" for words in ("gpu", f"default, gpu ({some})", "of-another-release")]
    assert served[1] in page(root)


def test_where_there_is_one_pool_nothing_of_it_is_shown(root: Client, mine: Organization, settings: Any) -> None:
    kind = make_job_type()
    pending_job(kind, mine)
    announce("all", *pools.queue_names("default"), "jobs-gpu-normal")
    shown = page(root)
    assert not shows_pools(shown)
    assert "jobs-gpu-normal" not in shown
    configure(settings, "gpu")
    make_job_type(pool="gpu")
    assert shows_pools(page(root))


def test_pools_are_for_system_admins(gpu: JobType, mine: Organization) -> None:
    pending_job(gpu, mine)
    announce("worker-1", "jobs-gpu-normal")
    member = admin.staff_of(mine, permissions=["django_jobs.view_job"])
    assert not shows_pools(page(member))
    assert shows_pools(page(admin.system_admin()))


@pytest.mark.parametrize("names", [[], ["gpu"]])
def test_an_open_page_gets_the_table_whether_it_had_one_or_not(root: Client, settings: Any, names: list[str]) -> None:
    configure(settings, *names)
    live = text(root, reverse("admin:django_jobs_monitor_live"))
    assert all('data-djobs-part="pools"' in shown for shown in (live, page(root)))
    assert shows_pools(live) == bool(names)
