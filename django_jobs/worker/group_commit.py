"""A child's thread that stores how the handlers of its other threads ended."""

from __future__ import annotations

import logging
import threading

from django.db import Error, connections, reset_queries

from django_jobs.worker.child_state import ChildState

logger = logging.getLogger("django_jobs")


class GroupCommit:
    """Stores ends in sets: the first one at once, and those that come while it is stored with the next set."""

    def __init__(self, state: ChildState) -> None:
        self._state = state
        self._asked = threading.Event()
        self._storing = threading.Lock()
        self._is_closing = False
        self._failure: Error | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs. Raises RuntimeError where the process may have no more threads."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="group commit", daemon=True)
            thread.start()
            self._thread = thread

    def ask(self) -> None:
        """Ask for what ended to be stored; return at once."""
        if not self._asked.is_set():
            self._asked.set()

    def check(self) -> None:
        """Raise the error that kept ends from being stored for as long as a burst waits for that."""
        if self._failure is not None:
            raise self._failure

    def store(self) -> None:
        """Store what ended, in the calling thread, after what is being stored."""
        try:
            with self._storing:
                self._state.settle()
        except Error as error:
            self._failure = error
        except Exception:  # whatever it is, the next ends must be stored
            logger.exception("event=settle_failed worker=%s", self._state.name)
        finally:
            reset_queries()  # with DEBUG Django keeps them, and each has what a whole set returned

    def stop(self) -> None:
        """End the thread; wait for it for at most ten seconds."""
        self._is_closing = True
        self._asked.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._is_closing:
            self._asked.wait()
            self._asked.clear()
            self.store()
        connections.close_all()
