"""The page of workers: who is there, what each runs, and orders to their supervisors."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.formats import date_format

from django_jobs.exceptions import PermissionDenied
from django_jobs.models import Organization, Worker, WorkerOrder
from tests.support import verbs
from tests.support.admin import codes_on, codes_said, news, remembered, staff_of, system_admin, text, url
from tests.support.brokers import MemoryBroker, running_job
from tests.support.factories import make_user
from tests.support.verbs import WORKERS_SHOWN, Order, Scheduler

pytestmark = pytest.mark.usefixtures("broker")


def announce(name: str = "web-7-1", supervisor: str = "seven", pid: int = 7, **fields: Any) -> None:
    options = {"slots": 2, **fields}
    verbs.announce_worker(name, verbs.broker_queue_names(), supervisor_pid=pid, supervisor=supervisor, **options)


def fall_silent(**lookup: Any) -> None:
    Worker.objects.filter(**lookup).update(last_seen=timezone.now() - dt.timedelta(minutes=1))


def rows(client: Client) -> list[Any]:
    response = client.get(url("worker", "changelist"))
    assert response.status_code == 200
    return list(response.context["fleet"]["supervisors"])


def press(client: Client, verb: str, supervisor: str = "seven") -> list[str]:
    """Press a button, and return the codes of what is said afterwards."""
    address = url("worker", verb, supervisor)
    return codes_said(client.post(address, follow=True))


def numbers(told: str) -> list[str]:
    return re.findall(r"\d+", told)


def test_processes_stand_with_their_supervisor_and_say_what_they_run(root: Client) -> None:
    announce(memory=120)
    announce("web-7-2", memory=80)
    announce("web-8-1", "eight", 8)
    job, _ = running_job("web-7-1")
    first, second = rows(root)
    assert (first["title"].endswith("process 7"), len(first["processes"]), first["memory"]) == (True, 2, "200 MB")
    assert (first["running"], first["slots"], second["running"]) == (1, 4, 0)
    assert first["processes"][0].jobs == [job]
    assert url("job", "change", job.pk) in text(root, url("worker", "changelist"))
    assert [verb for verb, _, _ in first["buttons"]] == ["quiet", "stop"]


def test_every_process_says_what_it_runs_however_many_there_are(root: Client) -> None:
    names = [f"web-7-{number:02d}" for number in range(WORKERS_SHOWN + 1)]
    for name in names:
        announce(name)
    job, _ = running_job(names[-1])
    (row,) = rows(root)
    assert row["processes"][-1].jobs == [job]


def test_without_any_worker_it_says_how_to_start_one(root: Client) -> None:
    page = text(root, url("worker", "changelist"))
    assert codes_on(page) == ["no_worker"]
    assert "manage.py jobs_worker" in page


def test_staff_who_do_not_run_the_system_see_and_order_nothing(mine: Organization) -> None:
    announce()
    member = staff_of(mine, permissions=["django_jobs.view_job", "django_jobs.view_worker"])
    assert member.get(url("worker", "changelist")).status_code == 403
    for address in (url("worker", "quiet", "seven"), url("worker", "stop", "seven")):
        assert member.post(address).status_code == 403
    assert not WorkerOrder.objects.exists()


def test_only_system_admins_give_orders() -> None:
    announce()
    with pytest.raises(PermissionDenied):
        verbs.give_order("seven", Order.STOP, make_user("somebody"))


def test_an_order_is_not_given_by_looking(root: Client) -> None:
    announce()
    assert root.get(url("worker", "quiet", "seven")).status_code == 405
    asked = root.get(url("worker", "stop", "seven"))
    assert "process 7" in asked.context["title"]
    assert '<form method="post"' in asked.content.decode()
    assert not WorkerOrder.objects.exists()


def test_an_order_is_stored_and_written_down(
    caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    announce()
    with caplog.at_level("INFO", "django_jobs"), django_capture_on_commit_callbacks(execute=True):
        assert press(system_admin(), "quiet") == ["quiet_ordered"]
    given = WorkerOrder.objects.get()
    assert (given.pk, given.order, given.ordered_by, given.obeyed_at) == ("seven", "quiet", "sysadmin", None)
    assert [user for user, _ in remembered(given)] == ["sysadmin"]
    assert "event=worker_changed" in caplog.text
    assert "by=sysadmin" in caplog.text


def test_an_order_that_is_not_obeyed_yet_is_told_as_such(root: Client) -> None:
    announce()
    press(root, "quiet")
    (row,) = rows(root)
    assert row["state"].code == "quiet_ordered"
    assert [verb for verb, _, _ in row["buttons"]] == ["resume", "stop"]


@pytest.mark.parametrize("busy", [False, True])
def test_a_quiet_worker_says_since_when_and_what_still_runs(root: Client, busy: bool) -> None:
    moment = timezone.now()
    announce(quiet_since=moment)
    for _ in range(busy):
        running_job("web-7-1")
    (row,) = rows(root)
    since = date_format(timezone.localtime(moment), "TIME_FORMAT")
    assert (row["state"].code, row["running"]) == ("quiet", int(busy))
    assert since in row["state"].text
    assert numbers(row["state"].text.replace(since, "")) == ["1"] * busy
    assert [verb for verb, _, _ in row["buttons"]] == ["resume", "stop"]


def test_a_worker_of_which_one_process_alone_is_quiet_or_silent_works_on(root: Client) -> None:
    announce()
    announce("web-7-2", quiet_since=timezone.now())
    (row,) = rows(root)
    assert (row["state"].code, row["slots"]) == ("works", 4)
    fall_silent(name="web-7-2")
    (row,) = rows(root)
    assert (row["state"].code, row["slots"]) == ("works", 2)
    fall_silent()
    (row,) = rows(root)
    assert (row["state"].code, row["slots"], row["buttons"]) == ("silent", 0, [])


def test_a_worker_that_is_to_work_again_is_told_as_such_until_it_does(root: Client) -> None:
    announce(quiet_since=timezone.now())
    press(root, "quiet")
    verbs.note_order_obeyed(WorkerOrder.objects.get())
    assert press(root, "resume") == ["resume_ordered"]
    (row,) = rows(root)
    assert (row["state"].code, [verb for verb, _, _ in row["buttons"]]) == ("resume_ordered", ["quiet", "stop"])


def test_a_worker_that_stops_can_be_ordered_nothing_more(root: Client) -> None:
    announce()
    press(root, "stop")
    (row,) = rows(root)
    assert (row["state"].code, [verb for verb, _, _ in row["buttons"]]) == ("stop_ordered", ["stop"])
    verbs.note_order_obeyed(WorkerOrder.objects.get())
    (row,) = rows(root)
    assert (row["state"].code, row["buttons"]) == ("stops", [])
    fall_silent()
    assert rows(root)[0]["state"].code == "silent", "It had obeyed."


def test_an_order_to_a_worker_that_died_meanwhile_says_so(root: Client) -> None:
    announce()
    fall_silent()
    for verb in ("quiet", "stop"):
        assert press(root, verb) == ["gone"]
    assert not WorkerOrder.objects.exists()


def test_an_order_to_what_can_be_no_worker_says_that_it_is_gone(root: Client) -> None:
    response = root.post("/admin/django_jobs/worker/%00/quiet/")
    assert response.status_code == 302
    assert not WorkerOrder.objects.exists()


def test_a_worker_that_died_before_it_obeyed_is_told(root: Client) -> None:
    announce()
    press(root, "quiet")
    fall_silent()
    assert rows(root)[0]["state"].code == "silent_unobeyed"
    verbs.withdraw_worker("web-7-1")
    assert "gone_unobeyed" in codes_on(text(root, url("worker", "changelist")))


def test_a_worker_that_left_as_ordered_is_told(root: Client) -> None:
    announce()
    press(root, "stop")
    verbs.note_order_left(WorkerOrder.objects.get())
    verbs.withdraw_worker("web-7-1")
    ((code, told),) = root.get(url("worker", "changelist")).context["fleet"]["gone"]
    assert (code, "root" in told) == ("left", True)


def test_plain_rqworkers_are_told(root: Client, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "other_workers", lambda _: {"jobs-normal": 2, "jobs-low": 0})
    response = root.get(url("worker", "changelist"))
    assert response.context["fleet"]["plain"] == [("jobs-normal", 2)]
    assert "not_orderable" in codes_on(response)


def test_without_redis_the_page_is_there(root: Client, broker: MemoryBroker) -> None:
    announce()
    broker.is_down = True
    assert len(rows(root)) == 1
    assert root.get(url("worker", "changelist")).context["fleet"]["plain"] is None


def test_old_orders_of_those_that_are_gone_are_forgotten() -> None:
    announce()
    announce("web-8-1", "eight", 8)
    for supervisor in ("seven", "eight"):
        verbs.give_order(supervisor, Order.QUIET)
    WorkerOrder.objects.update(ordered_at=timezone.now() - dt.timedelta(days=2))
    verbs.withdraw_worker("web-7-1")
    verbs.forget_workers()
    assert list(WorkerOrder.objects.values_list("pk", flat=True)) == ["eight"]


def test_what_is_read_out_names_the_workers_that_do_not_work(root: Client) -> None:
    for pid in range(6):
        announce(f"web-{pid}-1", f"number {pid}", pid)
    page = url("worker", "changelist")
    told = news(root, page)[0]
    assert numbers(told) == ["6"]
    Scheduler("one").tick()
    without_scheduler, told = told, news(root, page)[0]
    assert without_scheduler.startswith(f"{told} "), "That the scheduler is silent is told, too."
    fall_silent(supervisor="number 4")
    silent = rows(root)[4]["title"]
    told = news(root, page)[0]
    assert silent in told
    assert numbers(told.replace(silent, "")) == ["5"]
    fall_silent()
    assert numbers(news(root, page)[0])[-1] == "3"
