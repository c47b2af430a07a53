"""``jobs_worker --reload``: the worker starts anew when Django's own watcher finds a changed source file."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.utils import autoreload

from django_jobs.worker.process_start import environment

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
            env={**os.environ, **environment()},
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
