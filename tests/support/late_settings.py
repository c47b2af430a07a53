"""Settings that a process takes from its environment although it had loaded Django before it was told of that.

So one process that is forked serves tests that want different leases, lines to the database, or Redises.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from tests.support import tuning

MODULE: Final = "tests.settings"
JOBS: Final = "DJANGO_JOBS_TEST_SETTINGS"
#: The variables, and the settings that follow from them. The app that sets knobs is asked itself.
VARIABLES: Final = frozenset({"ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL", JOBS, tuning.VARIABLE})
SETTINGS: Final = ("ALLOWED_HOSTS", "REDIS_URL", "RQ_QUEUES", "CHANNEL_LAYERS", "DJANGO_JOBS")
#: In ``DJANGO_JOBS``: what it names was imported when Django was set up.
EARLY: Final = frozenset({"HANDLER_MODULES"})


def early_part(environ: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """What two environments have in common where one process can be forked for both."""
    if environ.get("DJANGO_SETTINGS_MODULE") != MODULE or EARLY & set(json.loads(environ.get(JOBS, "{}"))):
        return frozenset(environ.items())
    vendor = environ["DATABASE_URL"].partition(":")[0]
    return frozenset([*((name, text) for name, text in environ.items() if name not in VARIABLES), ("vendor", vendor)])


def loading(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a process that is forked for all of its kind loads Django."""
    return {name: text for name, text in environ.items() if name != tuning.VARIABLE}


def take_over() -> None:
    """Let the settings be what the environment says now."""
    from django.conf import settings
    from django.core.signals import setting_changed
    from django.db import connections

    if settings.SETTINGS_MODULE != MODULE:
        return
    importlib.reload(sys.modules["example_project.settings"])
    said: Any = importlib.reload(sys.modules[MODULE])
    for name in SETTINGS:
        setattr(settings, name, getattr(said, name))
        setting_changed.send(sender=None, setting=name, value=getattr(said, name), enter=True)
    for alias, said_of_it in said.DATABASES.items():
        connections[alias].settings_dict.update(said_of_it)
    if tuning.VARIABLE in os.environ:
        tuning.set_what_the_environment_names()
