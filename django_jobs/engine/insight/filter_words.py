"""How the values by which jobs are filtered are told to people, in the language and time zone of the reader."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any, Final

from django.utils import formats
from django.utils.translation import gettext as _

from django_jobs.engine.insight.filter_values import Id, write_batch_id
from django_jobs.engine.store import organization_ids
from django_jobs.statuses import Priority, Status
from django_jobs.texts import in_current_zone, listed

#: Values of one field that are told to people; of more it is said how many.
SHOWN: Final = 5


def tell(value: Any) -> list[str]:
    """Return a value, or each of several, as text for people."""
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]


def tell_flag(value: bool) -> list[str]:
    """Return Yes or No."""
    return [_("Yes") if value else _("No")]


def tell_statuses(found: Iterable[str]) -> list[str]:
    """Return the labels of these statuses."""
    return [str(Status(item).label) for item in found]


def tell_priorities(found: Iterable[int]) -> list[str]:
    """Return the labels of these priorities."""
    return [Priority(item).word for item in found]


def tell_fingerprint(value: str) -> list[str]:
    """Return a fingerprint."""
    return [value or _("an error without a text")]


def tell_moment(moment: dt.datetime) -> list[str]:
    """Return a moment in the current time zone."""
    return [formats.date_format(in_current_zone(moment), "DATETIME_FORMAT")]


def tell_batch(item: Id) -> list[str]:
    """Return the id of a batch."""
    return [write_batch_id(item)]


def tell_organizations(pks: Collection[Any]) -> list[str]:
    """Return the ids that these organizations have now; of a deleted one its primary key."""
    known = organization_ids.current_ids(pks)
    return [known.get(pk, str(pk)) for pk in pks]


def in_words(texts: list[str]) -> str:
    """Return the values of a filter in one text, of many the first."""
    if not texts:
        return _("(none)")
    text = listed(texts[:SHOWN])
    more = len(texts) - SHOWN
    return _("%(values)s and %(count)s more") % {"values": text, "count": more} if more > 0 else text
