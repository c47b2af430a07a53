from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jobs.engine.reconciliation import check_broker
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.supervisor import Supervisor


class Command(BaseCommand):
    help = "Runs jobs: a supervised pool of RQ workers, and the scheduler."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--processes", type=int, default=2, metavar="N", help="Child processes (2).")
        parser.add_argument(
            "--threads", type=int, default=1, metavar="N", help="Jobs at once in each, for handlers that wait (1)."
        )
        parser.add_argument("--queues", nargs="+", default=[], metavar="QUEUE", help="Only these queues, in order.")
        parser.add_argument("--burst", action="store_true", help="Leave when there is nothing to do.")
        parser.add_argument("--no-scheduler", action="store_true", help="Do not run the scheduler here.")
        parser.add_argument("--max-jobs", type=int, metavar="N", help="Replace a child after N jobs.")
        parser.add_argument("--reload", action="store_true", help="Start anew when source files change.")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("processes", "threads", "max_jobs"):
            if options[name] is not None and options[name] < 1:
                raise CommandError(f"--{name.replace('_', '-')} must be at least 1.")
        try:
            check_broker()
        except ForeignBroker as error:
            raise CommandError(str(error)) from error
        except BrokerUnavailable as error:
            self.stderr.write(f"{error}; the workers go on trying.")
        Supervisor(
            WorkerOptions(
                processes=options["processes"],
                threads=options["threads"],
                queues=tuple(options["queues"]),
                burst=options["burst"],
                scheduler=not options["no_scheduler"],
                max_jobs=options["max_jobs"],
                reload=options["reload"],
            )
        ).run()
