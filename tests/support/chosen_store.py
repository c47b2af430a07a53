"""Runs the whole suite, the processes that it starts included, with a store of the tester's choice.

``DJANGO_JOBS_TEST_STORE`` is the dotted name of the class, such as ``django_jobs.engine.store.base_jobs.Store``.
"""

from __future__ import annotations

import os
from typing import Final

from django.apps import AppConfig
from django.utils.module_loading import import_string

from tests.support import verbs

VARIABLE: Final = "DJANGO_JOBS_TEST_STORE"


class ChosenStore(AppConfig):
    """Puts the store in place once the models that it stands on are there."""

    name = "tests.support.chosen_store"
    label = "chosen_store"

    def ready(self) -> None:

        verbs.use_store("default", import_string(os.environ[VARIABLE]))
