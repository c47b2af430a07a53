from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from example_project.demo.services import DemoError, require_packages


class Command(BaseCommand):
    help = (
        "Shows django_jobs at work: migrates, seeds, starts a worker and the web server, and runs a job. "
        "Without REDIS_URL on an embedded Valkey, without DATABASE_URL on a SQLite file. "
        "The accounts that it makes have the password 'demo'."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="Run the main job to its end, print where its PDF lies, and exit."
        )
        parser.add_argument(
            "--kill",
            action="store_true",
            help="Run invoices in steps, kill the process that does at random, show that each was done once, and exit.",
        )
        parser.add_argument("--seed", type=int, default=1, help="Of the moments at which it is killed (%(default)s).")
        parser.add_argument("--port", type=int, default=8000, help="Of the web server on 127.0.0.1 (%(default)s).")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            require_packages("rich", "uvicorn", "websockets")
            from example_project.demo import runner

            kill = options["seed"] if options["kill"] else None
            code = runner.run(once=options["once"], port=options["port"], kill=kill)
        except DemoError as error:
            raise CommandError(str(error)) from error
        raise SystemExit(code)
