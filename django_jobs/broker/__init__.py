"""The broker: RQ's queues in Redis, which hold a small part of the backlog. Only this package imports rq and redis.

It implements ``Broker`` and ``Consumer`` of ``engine.ports``, and registers itself there. Another broker is another
package like this one, named in ``apps``.
"""

from __future__ import annotations

from django_jobs.broker import rq_guard
from django_jobs.broker.consumer import RQBroker
from django_jobs.engine.ports import register_broker

__all__ = ["RQBroker", "install"]


def install() -> None:
    """Make this the broker of the process, and guard RQ and django-rq in it, once the project's apps are ready."""
    register_broker(RQBroker)
    rq_guard.install_guard()
    rq_guard.install_pages()
