"""A batch over HTTP and a websocket, with a real worker, a real server and a real Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from channels.layers import channel_layers
from django.utils.module_loading import import_string
from rest_framework.test import APIClient

from django_jobs import create_batch, get_batch_status
from django_jobs.models import Job
from django_jobs.statuses import Status
from example_project.settings import CHANNEL_LAYERS
from tests.acceptance.steps import PATIENCE, Stage, wait_for_status
from tests.support import verbs
from tests.support.api import client_of
from tests.support.factories import make_job_type, make_user
from tests.support.server import LiveServer, SocketClient
from tests.support.tuning import tuned
from tests.support.verbs import BATCH_PAUSE, LayerBroadcaster
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

JOBS = 200


@pytest.fixture
def server(processes: ProcessPool) -> Any:
    """A web server, and this process as another one: it tells what it does."""
    config = CHANNEL_LAYERS["default"]
    channel_layers.set("default", import_string(config["BACKEND"])(**config["CONFIG"]))
    verbs.use_broadcaster(LayerBroadcaster())
    yield LiveServer(processes)
    verbs.drain_broadcasts(5)
    verbs.use_broadcaster(None)
    channel_layers.backends.clear()


def hear_until(client: SocketClient, is_told: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """What the events of the room tell, up to the first one that tells this."""
    heard = [client.hear("batch_progress")["data"]]
    while not is_told(heard[-1]):
        heard.append(client.hear("batch_progress")["data"])
    return heard


def fill(rest: APIClient, batch: dict[str, Any], gate: Path) -> None:
    """Add short jobs, and as the last one a job that ends when the gate is there."""
    common = {"organization": batch["organization"], "batch": batch["batch_id"]}
    short, held = make_job_type("work_briefly").pk, make_job_type("wait_for_file").pk
    items = [{**common, "job_type": short, "parameters": {"n": number}} for number in range(JOBS - 1)]
    items.append({**common, "job_type": held, "parameters": {"path": str(gate)}})
    assert rest.post("/api/jobs/bulk/", items, "json").status_code == 201


def test_a_batch_is_followed_live_and_what_follows_it_runs_once(
    processes: ProcessPool, server: LiveServer, stage: Stage
) -> None:
    member = make_user(member_of=[stage.organization])
    rest, last, gate = client_of(member), make_job_type("tell_batch"), stage.directory / "gate"
    body = {"organization": stage.organization.name, "name": "Two hundred", "then": {"job_type": last.pk}}
    batch = rest.post("/api/batches/", body, "json").json()
    address = f"/api/batches/{batch['batch_id']}/"
    with server.by_token(member) as client:
        joined = client.join(f"batch:{batch['batch_id']}")
        began = time.monotonic()
        assert (joined["event"], joined["data"]) == ("joined", rest.get(address).json())
        fill(rest, batch, gate)
        assert rest.post(f"{address}close/").json()["state"] == "Running"
        processes.worker("--processes", "2")
        heard = hear_until(client, lambda data: 0 < data["progress"] < 100)
        gate.touch()
        heard += hear_until(client, lambda data: data["state"] not in {"Open", "Running"})
        seconds = time.monotonic() - began

    assert len(heard) <= seconds / BATCH_PAUSE + 1
    progress = [data["progress"] for data in heard]
    assert progress == sorted(progress)
    assert (heard[-1]["state"], heard[-1]["by_status"]["Completed"]) == ("Completed", JOBS)

    status = rest.get(address).json()
    assert (status["state"], status["total"], status["progress"]) == ("Completed", JOBS, 100)
    then = Job.objects.by_id(status["then_job"])
    wait_for_status(then, "Completed")
    wait_until(lambda: Job.objects.filter(job_type=last).count() == 1, PATIENCE, "one job that follows")
    result = Job.objects.get(pk=then.pk).result
    assert result == {"batch_id": batch["batch_id"], "state": "Completed", "own": None}


def test_a_burst_runs_what_follows_a_batch(processes: ProcessPool, stage: Stage) -> None:
    """Also where no child looked after the last end, as where many children end jobs of a large batch at once."""
    kind = make_job_type("echo")
    with create_batch(stage.organization, then={"job_type": make_job_type("tell_batch").pk}) as batch:
        batch.submit_many([{"job_type": kind.pk, "parameters": {"n": number}} for number in range(10)])
    seldom = tuned(batch_pause_seconds=3600.0)
    worker = processes.worker("--burst", "--no-scheduler", environ=seldom)
    assert worker.wait(2 * PATIENCE) == 0
    status = get_batch_status(batch)
    assert (status.state, status.by_status["Completed"]) == ("Completed", 10)
    assert Job.objects.by_id(status.then_job or "").status == Status.COMPLETED
