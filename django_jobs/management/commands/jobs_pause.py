"""``manage.py jobs_pause``: let job types, schedules, operations, organizations or workers start nothing for now."""

from __future__ import annotations

from typing import Any

from django_jobs.engine.control import operations, switches
from django_jobs.engine.schedules.definitions import pause_schedule
from django_jobs.management.shell import Refused
from django_jobs.management.switches import SwitchCommand, order_worker
from django_jobs.models import JobType, Operation, Schedule, WorkerOrder
from django_jobs.texts import say


class Command(SwitchCommand):
    help = (
        "Pauses job types (what is submitted waits, what runs goes on), schedules, operations, organizations, or "
        "workers, until jobs_resume. What is paused already is no error. Exit codes: docs/commands.md."
    )
    verb = "pause"
    done = "paused"

    def switch_type(self, kind: JobType, user: Any) -> bool:
        return switches.pause_type(kind, user=user)

    def switch_schedule(self, schedule: Schedule, user: Any) -> bool:
        pause_schedule(schedule, user=user)
        return schedule.is_enabled

    def switch_operation(self, operation: Operation, user: Any) -> bool:
        is_done = operations.pause(operation, user=user)
        if not is_done and not operation.is_open:
            raise Refused(say("It is %(state)s already.", code="over", state=operation.state), code="over")
        return is_done

    def switch_organization(self, pk: Any, user: Any) -> bool:
        return switches.set_active(pk, False, user=user)

    def switch_worker(self, supervisor: str, user: Any) -> bool:
        return order_worker(supervisor, WorkerOrder.Order.QUIET, user)
