"""The options of ``jobs_worker``, for the supervisor and its children."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from django.apps import apps
from django.utils import autoreload

from django_jobs.conf import DEFAULT_POOL
from django_jobs.texts import say
from django_jobs.worker.processes import child_environment


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """``processes`` children with ``threads`` slots each, which serve ``queues``: without any, the default pool's.

    ``pool`` is the one that they are for, as their names say.

    A child is replaced after ``max_jobs``, or when it holds more than ``max_memory`` megabytes.
    """

    processes: int = 2
    threads: int = 1
    queues: tuple[str, ...] = ()
    pool: str = DEFAULT_POOL
    burst: bool = False
    scheduler: bool = True
    max_jobs: int | None = None
    max_memory: int | None = None
    #: Whether children count what they do, for the supervisor's metrics.
    counts: bool = False
    #: The name by which the supervisor of these processes is given orders.
    supervisor: str = ""

    @property
    def slots(self) -> int:
        """How many slots a child shows its supervisor: where several jobs run at a time, coroutines have their own."""
        return self.threads if self.threads == 1 else 2 * self.threads

    def to_json(self) -> str:
        """Return the options as a command line argument for a child."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerOptions:
        """Return the options that :meth:`to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "queues": tuple(values["queues"])})


def parse_queues(words: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the queues named in ``words``, each once, in their order; a word may hold several, separated by commas.

    Raises ValueError for a name that is not ``known``, since nothing is ever put into such a queue.
    """
    words = list(words)
    names = dict.fromkeys(name for word in words for name in word.replace(",", " ").split())
    for name in names:
        if name not in known:
            text = "There is no queue %(name)r. DJANGO_JOBS['QUEUES'] has %(known)s."
            raise ValueError(say(text, code="unknown_queue", name=name, known=", ".join(known)))
    if words and not names:
        text = "It names no queue. DJANGO_JOBS['QUEUES'] has %(known)s."
        raise ValueError(say(text, code="names_nothing", known=", ".join(known)))
    return tuple(names)


# ``jobs_worker --reload``: the worker starts anew when Django's own watcher finds a changed source file.


logger = logging.getLogger("django_jobs")

CHECK_SECONDS = 60
_STDERR = 2


def problem_at_start() -> str:
    """Return why the project would not start, in the words of a fresh process; empty where it would.

    The process runs the project's checks, as every management command does; they import the URLs.
    """
    command = [sys.executable, "-m", "django", "check"]
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter and module)
            command,
            env={**os.environ, **child_environment()},
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"`{' '.join(command)}` took longer than {CHECK_SECONDS} seconds."
    return (done.stderr or done.stdout or "It exited without a word.").strip() if done.returncode else ""


class _Reloader(autoreload.StatReloader):
    """Reports a change instead of ending the process."""

    def __init__(self, watch: ReloadWatch) -> None:
        super().__init__()
        self._watch = watch
        self._first: list[tuple[Path, float]] = []

    def look_first(self) -> None:
        """Note how the files are now. What is changed from now on is found, however late the loop begins.

        Called again, it notes what was loaded meanwhile as well.
        """
        self._first += super().snapshot_files()

    def snapshot_files(self) -> Iterator[tuple[Path, float]]:
        """Return each file with the time of its last change; the first time after those of :meth:`look_first`."""
        first, self._first = self._first, []
        yield from first
        yield from super().snapshot_files()

    def notify_file_changed(self, path: str | os.PathLike[str]) -> None:
        self._watch.look_at(os.fspath(path))


class ReloadWatch:
    """Watches, in a thread of its own, whether a source file of the project was changed."""

    def __init__(self) -> None:
        #: The changed file because of which to start anew; empty where there is none.
        self.changed = ""
        #: Whether the project, as its files are now, would not start.
        self.is_broken = False
        self._reloader = _Reloader(self)

    def look_first(self) -> None:
        """Note how the files are, before anything runs that was made of them."""
        for config in apps.get_app_configs():
            # Only the children load the modules of the handlers, so that the apps' folders are watched as well.
            if "site-packages" not in config.path:
                self._reloader.watch_dir(config.path, "**/*.py")
        self._reloader.look_first()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._reloader.run_loop, name="reload", daemon=True).start()

    def look_at(self, path: str) -> None:
        """Note a changed file, if the project would start with its files as they are now.

        If it would not, say why and wait for the next change; the worker that runs goes on meanwhile.
        """
        problem = problem_at_start()
        self.is_broken = bool(problem)
        if problem:
            logger.error("event=reload_refused file=%s", path)
            sys.stderr.write(f"{problem}\nThe project does not start like this; waiting for the next change.\n")
        else:
            self.changed = self.changed or path

    def start_anew(self) -> None:
        """Replace this process by a fresh one with the same arguments, which has nothing of what this one opened."""
        arguments = autoreload.get_child_arguments()
        _keep_descriptors_from_the_next()
        os.execv(arguments[0], arguments)  # noqa: S606  (our own command line)


def _keep_descriptors_from_the_next() -> None:
    """Have all but the standard streams closed when this process is replaced.

    Python does so with what it opens itself; MariaDB's client does not with its connections.
    """
    with contextlib.suppress(OSError):  # this system does not show them
        for name in os.listdir("/dev/fd"):  # noqa: PTH208  (a list: what lists them has one of its own)
            if int(name) > _STDERR:
                with contextlib.suppress(OSError):  # closed meanwhile, as that of the list is
                    os.set_inheritable(int(name), False)
