"""`jobs_worker --reload`: Django's own watcher of source files tells when to start anew."""

from __future__ import annotations

import os
import threading

from django.apps import apps
from django.utils import autoreload


class _Reloader(autoreload.StatReloader):
    """Reports a change instead of ending the process."""

    def __init__(self, watch: ReloadWatch) -> None:
        super().__init__()
        self._watch = watch

    def notify_file_changed(self, path: str | os.PathLike[str]) -> None:
        self._watch.changed = self._watch.changed or os.fspath(path)


class ReloadWatch:
    """Knows, from a thread of its own, whether a module of this process was changed."""

    def __init__(self) -> None:
        self.changed = ""
        self._reloader = _Reloader(self)

    def start(self) -> None:
        for config in apps.get_app_configs():
            # The handlers' modules are loaded by the children only, so that the folders are watched as well.
            if "site-packages" not in config.path:
                self._reloader.watch_dir(config.path, "**/*.py")
        threading.Thread(target=self._reloader.run_loop, name="reload", daemon=True).start()

    def start_anew(self) -> None:
        """Replace this process by a fresh one with the same arguments."""
        arguments = autoreload.get_child_arguments()
        os.execv(arguments[0], arguments)  # noqa: S606  (our own command line)
