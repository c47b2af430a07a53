"""Management commands called in this process, and a broker for them that is not there."""

from __future__ import annotations

import io

from django.core.management import call_command

from django_jobs.exceptions import BrokerUnavailable

QUEUES = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")


class DeadBroker:
    """Answers nothing."""

    def __getattr__(self, name: str) -> object:
        raise BrokerUnavailable("Redis does not answer (ConnectionError)")


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, no_color=True)
    return out.getvalue()
