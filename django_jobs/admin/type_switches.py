"""The switches of a job type that people set by one press: whether it is paused, and whether it is enabled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_jobs.engine.control import switches
from django_jobs.models import JobType


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A field and the value that it gets; what the button and the message of it say; and the code of the message.

    ``told_meanwhile`` is for who saves a page that is older than somebody's press of the button.
    """

    field: str
    value: bool
    code: str
    label: Any
    told: Any
    told_late: Any
    told_meanwhile: Any


SWITCHES: Final = {
    "pause": Switch(
        field="is_paused",
        value=True,
        code="paused",
        label=_("Pause"),
        told=_("%(type)s is paused: what is submitted waits, what runs goes on."),
        told_late=_("Somebody else was first: %(type)s is paused: what is submitted waits, what runs goes on."),
        told_meanwhile=_("%(type)s was paused meanwhile; that was left as it is."),
    ),
    "resume": Switch(
        field="is_paused",
        value=False,
        code="resumed",
        label=_("Resume"),
        told=_("%(type)s goes on: what waited may start."),
        told_late=_("Somebody else was first: %(type)s goes on: what waited may start."),
        told_meanwhile=_("%(type)s was resumed meanwhile; that was left as it is."),
    ),
    "enable": Switch(
        field="is_enabled",
        value=True,
        code="enabled",
        label=_("Enable"),
        told=_("%(type)s is enabled: it takes submissions."),
        told_late=_("Somebody else was first: %(type)s is enabled: it takes submissions."),
        told_meanwhile=_("%(type)s was enabled meanwhile; that was left as it is."),
    ),
    "disable": Switch(
        field="is_enabled",
        value=False,
        code="disabled",
        label=_("Disable"),
        told=_("%(type)s is disabled: submissions are refused, and nothing starts."),
        told_late=_("Somebody else was first: %(type)s is disabled: submissions are refused, and nothing starts."),
        told_meanwhile=_("%(type)s was disabled meanwhile; that was left as it is."),
    ),
}


def set_switch(user: Any, kind: JobType, verb: str) -> tuple[str, int, str]:
    """Set the switch. Return the message about it, its level and its code; who presses second is told so."""
    switch = SWITCHES[verb]
    if not switches.set_switch(kind, switch.field, switch.value, user=user):
        return switch.told_late % {"type": kind.pk}, messages.WARNING, f"already_{switch.code}"
    return in_words(switch.told, kind), messages.INFO, switch.code


def in_words(text: Any, kind: JobType) -> SafeString:
    """Return a message that begins with the type's name. Django makes the first letter of plain texts a capital one."""
    return format_html("<span>{}</span>", text % {"type": kind.pk})
