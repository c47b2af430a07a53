"""What a schedule's rule says, in the language of who reads it."""

from __future__ import annotations

import calendar
import re
from typing import Any, Final

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import get_language, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from django_jobs.engine.schedules import timetable

#: By unit: its seconds, and what is said of an interval of one and of several.
INTERVALS: Final[tuple[tuple[int, Any, Any], ...]] = (
    (604_800, _("Every week"), ngettext_lazy("Every %(count)d week", "Every %(count)d weeks", "count")),
    (86_400, _("Every day"), ngettext_lazy("Every %(count)d day", "Every %(count)d days", "count")),
    (3_600, _("Every hour"), ngettext_lazy("Every %(count)d hour", "Every %(count)d hours", "count")),
    (60, _("Every minute"), ngettext_lazy("Every %(count)d minute", "Every %(count)d minutes", "count")),
    (1, _("Every second"), ngettext_lazy("Every %(count)d second", "Every %(count)d seconds", "count")),
)


def rule_words(rule: Any) -> str:
    """Return a rule in words, such as "At 02:00, Monday to Friday" or "Every 5 minutes".

    A cron expression stays as it is where nobody has words for it in the active language.
    """
    if rule.cron:
        return _with_names(timetable.cron_words(rule.cron, get_language() or "en"))
    seconds = int(rule.every or 1)
    size, once, often = next(item for item in INTERVALS if seconds % item[0] == 0)
    count = seconds // size
    return str(once) if count == 1 else str(often % {"count": count})


def _with_names(text: str) -> str:
    """Return the text with the names of days and months in the active language; the library leaves them English."""
    names = {calendar.day_name[number]: str(name) for number, name in WEEKDAYS.items()}
    names |= {calendar.month_name[number]: str(name) for number, name in MONTHS.items()}
    return re.sub(r"\w+", lambda found: names.get(found[0], found[0]), text)
