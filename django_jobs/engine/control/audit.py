"""Notes of changes to types, tenants and batches, and of deleted jobs: the admin's history and a line in the log."""

from __future__ import annotations

import enum
import json
import logging
from collections.abc import Sequence
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.utils import translation

from django_jobs.conf import jobs_settings
from django_jobs.engine.actors import actor_for
from django_jobs.engine.insight.events import on_one_line
from django_jobs.engine.store import database
from django_jobs.models import Job, get_organization_model
from django_jobs.texts import code_of, in_english

logger = logging.getLogger("django_jobs")

#: How many objects of one act the log names.
MAX_NAMED: Final = 20


class Act(enum.IntEnum):
    """What can be done to an object, by the numbers that Django's admin has for it."""

    ADDED = 1
    CHANGED = 2
    DELETED = 3


def record(user: Any, objects: Sequence[Any], act: Act, message: str | list[Any] = "") -> None:
    """Note that a user did this to objects, which are of one model.

    ``message`` is text, or a list as Django's admin makes it. The row of the history needs ``django.contrib.admin`` and
    a stored user. The log's line needs neither, and is written after the commit.
    """
    if not objects:
        return
    text = _store(user, objects, act, message) if apps.is_installed("django.contrib.admin") else str(message)
    # A change of a job's status has a log line of its own.
    if act == Act.DELETED or not isinstance(objects[0], Job):
        noun, names = objects[0]._meta.verbose_name_raw, [name_of(item) for item in objects]
        code = code_of(message, "")
        database.on_commit(lambda: log(noun, names, act, actor_for(user).name, text, code))


def log(noun: str, names: Sequence[str], act: Act, by: str, text: str = "", code: str = "") -> None:
    """Write a line like ``event=job_type_changed job_type=… by=…`` with what changed. It names MAX_NAMED at most."""
    word = noun.replace(" ", "_") + ("s" if len(names) > 1 else "")
    shown = ",".join(names[:MAX_NAMED]) + ("…" if len(names) > MAX_NAMED else "")
    logger.info(
        "event=%s_%s count=%s %s=%s by=%s %s",
        word,
        act.name.lower(),
        len(names),
        word,
        on_one_line(shown),
        on_one_line(by),
        on_one_line(text),
        extra={"code": code},
    )


def _store(user: Any, objects: Sequence[Any], act: Act, message: str | list[Any]) -> str:
    """Write the rows, and return what they say in words."""
    from django.contrib.admin.models import LogEntry

    entry = LogEntry(action_flag=int(act), change_message=json.dumps(message) if isinstance(message, list) else message)
    with translation.override(None):  # what histories and logs keep is English
        if isinstance(user, get_user_model()) and user.pk is not None:
            LogEntry.objects.log_actions(user.pk, objects, int(act), message)
        return entry.get_change_message()


def name_of(item: Any) -> str:
    """Return the id by which operators know the object; its title may change."""
    if isinstance(item, Job):
        return item.name
    if isinstance(item, get_organization_model()):
        return str(getattr(item, jobs_settings.ORGANIZATION_ID_FIELD))
    return in_english(getattr(item, "type_name", item))
