"""``manage.py jobs_resume``: let go on what ``jobs_pause`` or the console paused, or what a breaker holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from django_jobs.engine.control import operations, switches
from django_jobs.engine.control.switches import close_breaker
from django_jobs.engine.insight.search import similar_job_types
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.schedules.definitions import resume_schedule
from django_jobs.management.shell import Refused, unknown
from django_jobs.management.switches import SwitchCommand, Target, order_worker
from django_jobs.models import JobType, Operation, Schedule, WorkerOrder
from django_jobs.texts import say


class Command(SwitchCommand):
    help = (
        "Lets job types, schedules, operations, organizations or workers go on that were paused, and closes breakers. "
        "What is not paused is no error. Exit codes: docs/commands.md."
    )
    verb = "resume"
    done = "resumed"
    choices = (*SwitchCommand.choices, "--breaker")

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--breaker",
            action="append",
            default=[],
            metavar="TYPE",
            help="Close the breaker of this job type now, so that its jobs start; may be repeated.",
        )

    def targets(self, options: dict[str, Any], user: Any) -> Iterator[Target]:
        yield from super().targets(options, user)
        for name in options["breaker"]:
            if not is_storable_text(name) or not JobType.primary.filter(pk=name).exists():
                raise unknown("job type", name, similar_job_types(name) if user is None else ())
            yield Target("breaker", name, lambda name=name: close_breaker(name, user=user))  # type: ignore[misc]

    def switch_type(self, kind: JobType, user: Any) -> bool:
        return switches.resume_type(kind, user=user)

    def switch_schedule(self, schedule: Schedule, user: Any) -> bool:
        resume_schedule(schedule, user=user)
        return not schedule.is_enabled

    def switch_operation(self, operation: Operation, user: Any) -> bool:
        is_done = operations.resume(operation, user=user)
        if not is_done and not operation.is_open:
            raise Refused(say("It is %(state)s already.", code="over", state=operation.state), code="over")
        return is_done

    def switch_organization(self, pk: Any, user: Any) -> bool:
        return switches.set_active(pk, True, user=user)

    def switch_worker(self, supervisor: str, user: Any) -> bool:
        return order_worker(supervisor, WorkerOrder.Order.RESUME, user)
