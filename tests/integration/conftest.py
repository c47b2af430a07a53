"""What many tests of this layer begin with: tenants, a type of job, families, a channel layer, receivers, no Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.dispatch import Signal

from django_jobs.models import Job, JobType, Organization
from tests.support import admin, verbs
from tests.support.commands import DeadBroker
from tests.support.factories import make_job_type, make_organization
from tests.support.families import Submitter
from tests.support.tuning import LASTING_MEMORIES, Tuning
from tests.support.verbs import Interpose

if TYPE_CHECKING:
    from django.test import Client

    from tests.support.brokers import MemoryBroker
    from tests.support.live import ManualBroadcaster

Listen = Callable[[Signal, Callable[..., object]], None]
Reasons = Callable[[Job], list[str]]


@pytest.fixture(autouse=True)
def _lasting_memories(tuning: Tuning) -> None:
    tuning.set(**LASTING_MEMORIES)


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def kind() -> JobType:
    """A type whose handler does nothing."""
    return make_job_type()


@pytest.fixture
def submit(kind: JobType, organization: Organization) -> Submitter:
    """Submits jobs of this type and organization, which wait for those that are given."""
    return Submitter(kind, organization)


@pytest.fixture
def nothing_is_dispatched(broker: MemoryBroker) -> None:
    """The broker is down, so that what may start is ready, and stays Pending."""
    broker.is_down = True


@pytest.fixture
def mine() -> Organization:
    """The organization whose people look at the admin."""
    return make_organization(name="ORG-MINE")


@pytest.fixture
def theirs() -> Organization:
    return make_organization(name="ORG-THEIRS")


@pytest.fixture
def root() -> Client:
    """A superuser's browser."""
    return admin.superuser()


@pytest.fixture
def broadcaster() -> Iterator[ManualBroadcaster]:
    """A channel layer in memory, and a broadcaster that sends when the test says so."""
    from channels.layers import InMemoryChannelLayer, channel_layers

    from tests.support.live import ManualBroadcaster

    channel_layers.set("default", InMemoryChannelLayer())
    broadcaster = ManualBroadcaster()
    verbs.use_broadcaster(broadcaster)
    yield broadcaster
    verbs.use_broadcaster(None)
    channel_layers.backends.clear()


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Connects receivers of signals, until the test ends."""
    connected: list[tuple[Signal, Any]] = []

    def connect(signal: Signal, receiver: Callable[..., object]) -> None:
        signal.connect(receiver, sender=Job, weak=False)
        connected.append((signal, receiver))

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver, sender=Job)


@pytest.fixture
def reasons(interpose: Interpose) -> Reasons:
    """Tells the codes of what moved a job since the test began, where a move had a reason."""
    told: list[tuple[int, str]] = []
    tell = verbs.changed

    def note(moved: Any, *rest: Any) -> None:
        told.extend((item.pk, getattr(item.message, "code", "")) for item in moved)
        tell(moved, *rest)

    interpose("changed", note)
    return lambda job: [code for pk, code in told if pk == job.pk and code]


@pytest.fixture
def without_redis() -> Iterator[None]:
    """What a host's test would find: no Redis."""
    broker: Any = DeadBroker()
    verbs.use_broker(broker)
    yield
    verbs.use_broker(None)


@pytest.fixture(params=["in a transaction", pytest.param("committed", marks=pytest.mark.django_db(transaction=True))])
def both_ways(request: pytest.FixtureRequest) -> str:
    """The test runs twice: in a transaction that never commits, and with real commits."""
    return str(request.param)
