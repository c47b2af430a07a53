"""Mails about alarms that a real scheduler sends to a real mail server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.acceptance.steps import PATIENCE, Stage
from tests.support.constants import constants
from tests.support.factories import make_job_type
from tests.support.monitor import count
from tests.support.smtp import ADMIN, Inbox, mail_server
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess, ProcessPool

#: A scheduler that looks more often, and takes an alarm for over sooner.
QUICK: Final = constants(
    engine__alerts__evaluation__PAUSE=0.2,
)


@pytest.fixture
def server() -> Iterator[tuple[Inbox, dict[str, str]]]:
    with mail_server() as found:
        yield found
