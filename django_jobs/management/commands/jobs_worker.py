"""``manage.py jobs_worker``: run jobs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import Any, Final, NoReturn

from django.apps import apps
from django.core.management.base import CommandError, CommandParser
from django.utils import autoreload

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.dispatch.tickets import check_broker
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker
from django_jobs.management.long_running import LongRunningCommand
from django_jobs.texts import said, say
from django_jobs.worker.child import prepare_fork_server
from django_jobs.worker.processes import ForkServer, WorkerOptions, parse_queues

#: By option: a larger number is a typing error.
MOST: Final = {"processes": 1_000, "threads": 1_000, "max_jobs": 10**9, "max_memory": 10**9}


class Command(LongRunningCommand):
    help = "Runs jobs: a supervised pool of RQ workers, and the scheduler."

    _fork_server: ForkServer | None = None

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options.get("reload"):
            _run_reloading()
        # Before all else, so that no child has what it does not need: the system checks load the URLs, and by that the
        # API, the admin and the views; what answers probes has threads; and whoever asks the broker has a line to it.
        self._fork_server = prepare_fork_server()
        try:
            return super().execute(*args, **options)
        finally:
            if self._fork_server is not None:
                self._fork_server.close()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--processes", type=int, default=2, metavar="N", help="Child processes (2).")
        parser.add_argument(
            "--threads", type=int, default=1, metavar="N", help="Jobs at once in each, for handlers that wait (1)."
        )
        parser.add_argument("--pool", default=DEFAULT_POOL, metavar="NAME", help="Whose jobs it runs (default).")
        parser.add_argument(
            "--queues", nargs="+", default=[], metavar="QUEUE", help="Only these, in order, of any pool."
        )
        parser.add_argument("--burst", action="store_true", help="Leave when nothing can be done.")
        parser.add_argument("--no-scheduler", action="store_true", help="Do not run the scheduler here.")
        parser.add_argument("--max-jobs", type=int, metavar="N", help="Replace a child after N jobs.")
        parser.add_argument("--max-memory", type=int, metavar="MB", help="Replace a child that has more than MB.")
        parser.add_argument("--reload", action="store_true", help="Start anew when source files change.")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        for name, most in MOST.items():
            if options[name] is not None and not 1 <= options[name] <= most:
                text, option = "%(option)s must be between 1 and %(most)s.", f"--{name.replace('_', '-')}"
                raise CommandError(say(text, code="out_of_range", option=option, most=f"{most:,}"))
        wanted = WorkerOptions(
            queues=queues(options["queues"], options["pool"]),
            scheduler=not options["no_scheduler"],
            **{name: options[name] for name in (*MOST, "pool", "burst")},
        )
        self.await_database()
        try:
            self.with_database(check_broker)
        except ForeignBroker as error:
            raise CommandError(said(error)) from error
        except BrokerUnavailable as error:
            if wanted.burst:
                text = say("%(error)s. A burst does not wait for it.", code=error.code, error=str(error))
                raise CommandError(text) from error
            self.stderr.write(f"{error}; the workers go on trying.")
        self.stdout.write(_greeting(wanted))
        self.stdout.flush()  # the children write to the same place
        # Here, since what only the supervisor needs is loaded after its children's server was forked.
        from django_jobs.worker.supervisor import Supervisor

        supervisor = Supervisor(wanted, self.notes, self._fork_server)
        if self.health is not None:
            self.health.work()
        supervisor.run()
        if supervisor.failure:
            raise CommandError(supervisor.failure)


def _run_reloading() -> NoReturn:
    """Run this command without ``--reload``, and start it anew when Django's reloader sees that a file changed.

    Django's ``run_with_reloader`` kills what it runs. This one lets the worker end its jobs in order.
    """
    command = [word for word in autoreload.get_child_arguments() if word != "--reload"]
    reloader = autoreload.get_reloader()
    for config in apps.get_app_configs():
        # Only the children load the modules of the handlers, so that the apps' folders are watched as well.
        if "site-packages" not in config.path:
            reloader.watch_dir(config.path, "**/*.py")
    # In a group of its own, since a second signal, as from a terminal's Ctrl+C, would kill its jobs.
    worker = subprocess.Popen(command, process_group=0)  # noqa: S603  (our own command line)

    def start_anew(**_change: Any) -> bool:
        nonlocal worker
        worker.terminate()
        worker.wait()
        if not reloader.should_stop:
            worker = subprocess.Popen(command, process_group=0)  # noqa: S603
        return True  # this process stays

    def stop(number: int, _frame: object) -> None:
        reloader.stop()
        worker.send_signal(number)

    autoreload.file_changed.connect(start_anew, sender=reloader)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    reloader.run(threading.current_thread())
    sys.exit(worker.wait())


def _greeting(wanted: WorkerOptions) -> str:
    """Return what tells somebody at a terminal that it works; after that only trouble is told."""
    served = ", ".join(wanted.queues or pools.queue_names(DEFAULT_POOL))
    at_once = wanted.processes * wanted.threads
    of_pool = f" of the pool {wanted.pool}" if wanted.pool != DEFAULT_POOL else ""
    return f"Running up to {at_once} jobs at once{of_pool}, of {served}. Ctrl+C ends them and stops."


def queues(words: list[str], pool: str) -> tuple[str, ...]:
    """Return the queues that the options name, of whichever pool; without any, those of the pool.

    For the default pool that is none. Raise CommandError if pool or queue is not configured.
    """
    if pool not in pools.names():
        text = say(
            "--pool: there is no pool %(pool)r. DJANGO_JOBS['POOLS'] has %(known)s.",
            code="unknown_pool",
            pool=pool,
            known=", ".join(pools.names()),
        )
        raise CommandError(text)
    try:
        named = parse_queues(words, pools.queue_names())
    except ValueError as error:
        text = say("--queues: %(error)s", code=said(error).code, error=str(error))
        raise CommandError(text) from error
    return named if named or pool == DEFAULT_POOL else tuple(pools.queue_names(pool))
