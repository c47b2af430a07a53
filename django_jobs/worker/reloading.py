"""`jobs_worker --reload`: Django's own watcher of source files tells when to start anew."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

from django.apps import apps
from django.utils import autoreload

logger = logging.getLogger("django_jobs")

CHECK_SECONDS = 60


def problem_at_start() -> str:
    """What keeps the project from starting, as a fresh process says it; empty where nothing does.

    With its checks, which a management command makes too, and which import the URLs.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "django", "check"]
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter and module)
            command, env=environment, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"`{' '.join(command)}` took longer than {CHECK_SECONDS} seconds."
    return (done.stderr or done.stdout or "It exited without a word.").strip() if done.returncode else ""


class _Reloader(autoreload.StatReloader):
    """Reports a change instead of ending the process."""

    def __init__(self, watch: ReloadWatch) -> None:
        super().__init__()
        self._watch = watch

    def notify_file_changed(self, path: str | os.PathLike[str]) -> None:
        self._watch.look_at(os.fspath(path))


class ReloadWatch:
    """Knows, from a thread of its own, whether a module of this process was changed."""

    def __init__(self) -> None:
        #: A file because of which to start anew.
        self.changed = ""
        #: Whether the project, as its files are now, would not start.
        self.is_broken = False
        self._reloader = _Reloader(self)

    def start(self) -> None:
        for config in apps.get_app_configs():
            # The handlers' modules are loaded by the children only, so that the folders are watched as well.
            if "site-packages" not in config.path:
                self._reloader.watch_dir(config.path, "**/*.py")
        threading.Thread(target=self._reloader.run_loop, name="reload", daemon=True).start()

    def look_at(self, path: str) -> None:
        """A file was changed: to start anew is right only where the project starts at all, as its files are now.

        What does not start is told, and the next change is waited for; what runs goes on meanwhile.
        """
        problem = problem_at_start()
        self.is_broken = bool(problem)
        if problem:
            logger.error("event=reload_refused file=%s", path)
            sys.stderr.write(f"{problem}\nThe project does not start like this; waiting for the next change.\n")
        else:
            self.changed = self.changed or path

    def start_anew(self) -> None:
        """Replace this process by a fresh one with the same arguments."""
        arguments = autoreload.get_child_arguments()
        os.execv(arguments[0], arguments)  # noqa: S606  (our own command line)
