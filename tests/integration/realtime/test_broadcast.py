"""The thread that tells live pages: on its own, and never in anybody's way."""

from __future__ import annotations

import datetime as dt
import logging
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from channels.layers import channel_layers
from django.db import connection, transaction
from django.utils import timezone

from django_jobs import cancel_job
from django_jobs.models import ExecutionLog
from tests.support import verbs
from tests.support.brokers import WORKER, end, pending_job, returned, running_job
from tests.support.tuning import Tuning
from tests.support.verbs import LayerBroadcaster, ProgressBuffer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


class RecordingLayer:
    """Takes messages, or fails while it is broken."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.threads: set[int] = set()
        self.is_broken = False

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.is_broken:
            raise ConnectionError("no layer")
        self.threads.add(threading.get_ident())
        self.sent.append((group, message))


@pytest.fixture
def layer(tuning: Tuning) -> Iterator[RecordingLayer]:
    tuning.set(broadcast_pause_seconds=0.01, broadcast_failure_pause_seconds=0.01)
    layer = RecordingLayer()
    channel_layers.set("default", layer)
    verbs.use_broadcaster(LayerBroadcaster())
    yield layer
    verbs.drain_broadcasts(5)
    verbs.use_broadcaster(None)
    channel_layers.backends.clear()


def test_a_change_is_sent_by_a_thread_of_its_own(layer: RecordingLayer) -> None:
    pending_job()
    wait_until(lambda: layer.sent, 5, "a notification")
    assert threading.get_ident() not in layer.threads


def test_what_waits_is_sent_before_the_process_ends(layer: RecordingLayer) -> None:
    job = pending_job()
    verbs.drain_broadcasts(5)
    changes = [pair for _, message in layer.sent for pairs in message["changes"].values() for pair in pairs]
    assert job.pk in {pk for _, pk in changes}


def test_the_thread_starts_anew_after_a_drain(layer: RecordingLayer) -> None:
    pending_job()
    verbs.drain_broadcasts(5)
    layer.sent.clear()
    pending_job()
    wait_until(lambda: layer.sent, 5, "a notification")


def test_a_broken_layer_is_told_of_once_and_harms_no_submission(
    layer: RecordingLayer, caplog: pytest.LogCaptureFixture
) -> None:
    layer.is_broken = True
    with caplog.at_level(logging.INFO, "django_jobs"):
        for _ in range(3):
            pending_job()
            wait_until(lambda: "broadcast_failed" in caplog.text, 5, "the complaint")
        layer.is_broken = False
        pending_job()
        wait_until(lambda: "broadcast_works_again" in caplog.text, 5, "the end of it")
    assert caplog.text.count("event=broadcast_failed") == 1


@pytest.mark.parametrize(
    ("backend", "is_loaded"), [("wave.Wave_read", True), ("wave.Missing", True), ("missing.It", False)]
)
def test_the_layers_module_is_loaded_and_no_layer_made(
    settings: Any, monkeypatch: pytest.MonkeyPatch, backend: str, is_loaded: bool
) -> None:
    """A supervisor does it for all its children; what is wrong with the layer is told when it is used."""
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend}}
    LayerBroadcaster().load()
    assert ("wave" in sys.modules) is is_loaded
    assert channel_layers.backends == {}


def test_nothing_is_prepared_where_nobody_is_to_be_told(layer: RecordingLayer) -> None:
    verbs.use_broadcaster(None)
    pending_job()
    assert layer.sent == []


class Witness:
    """A broadcaster that notes what the database's transaction was like when it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []
        self.missing: list[int] = []

    def changed(self, changes: Sequence[tuple[Any, int, int]]) -> None:
        self.calls.append(("changed", connection.in_atomic_block))
        ids = [log_id for _, log_id, _ in changes]
        self.missing += set(ids) - set(ExecutionLog.objects.filter(pk__in=ids).values_list("pk", flat=True))

    def updated(self, kind: str, organizations: Mapping[int, Any]) -> None:
        self.calls.append((kind, connection.in_atomic_block))

    def drain(self, timeout: float) -> None:
        pass

    def load(self) -> None:
        pass


@pytest.fixture
def witness() -> Iterator[Witness]:
    witness = Witness()
    verbs.use_broadcaster(witness)
    yield witness
    verbs.use_broadcaster(None)


def test_every_step_of_a_job_is_told_after_its_commit(witness: Witness) -> None:
    job, claimed = running_job()
    buffer = ProgressBuffer(WORKER)
    buffer.report((job.pk, claimed.attempt), 40, None)
    buffer.flush()
    end(returned(claimed))
    cancel_job(pending_job(run_at=timezone.now() + dt.timedelta(hours=1)))
    kinds = [kind for kind, _ in witness.calls]
    assert (kinds.count("progress"), kinds.count("changed") >= 6) == (1, True)
    assert not any(is_open for _, is_open in witness.calls)
    assert witness.missing == []


def test_what_happens_in_the_callers_transaction_is_told_after_its_commit(witness: Witness) -> None:
    with transaction.atomic():
        cancel_job(pending_job())
        assert witness.calls == []
    assert [kind for kind, _ in witness.calls] == ["changed", "changed"]
    assert not any(is_open for _, is_open in witness.calls)
