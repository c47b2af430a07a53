"""Operations that are under way, as other pages tell of them: in a list of links, or as notices of the monitor."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.formatting import line
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.news import Notice
from django_jobs.admin.numbers import format_number
from django_jobs.admin.operation_words import amount_words, note_organizations, outcome_words, state_badge, title_of
from django_jobs.engine.control.operations import under_way
from django_jobs.models import Operation

#: Operations that a page lists; of the others it tells how many they are.
LISTED: Final = 20
SHOWN: Final = 3
#: Characters of a title.
TITLE: Final = 120

#: What a page says of one: title, address, how far it is, state, by whom.
Row = tuple[Any, str, str, Any, str]


def rows_of(
    links: Links, found: Iterable[Operation], user: Any, title: Callable[[Operation], str] = title_of
) -> list[Row]:
    """Return what a page says to this user of the first of these operations."""
    shown = list(itertools.islice(found, LISTED))
    if title is title_of:
        note_organizations(shown, user)
    return [
        (
            line(title(item), TITLE),
            links.operation(item.pk),
            outcome_words(item) if item.ended_at else amount_words(item),
            state_badge(item),
            item.user_name,
        )
        for item in shown
    ]


def link_to(links: Links, operation: Operation, title: str) -> SafeString:
    """Return a link to an operation's page; the title alone where this site has no such page."""
    address = links.operation(operation.pk)
    if not address:
        return format_html("<bdi>{}</bdi>", title)
    return format_html('<a href="{}"><bdi>{}</bdi></a>', address, title)


def for_list(user: Any, links: Links) -> dict[str, Any] | None:
    """Return what the list of jobs says of the operations that are under way; None where there is none."""
    found = under_way(user)
    if not found:
        return None
    return {
        "rows": rows_of(links, found[:SHOWN], user),
        "more": len(found[SHOWN:]),
        "url": links.operations(),
    }


def monitor_notices(user: Any, links: Links) -> list[Notice]:
    """Return a notice for each of the latest operations that are under way, and one that counts the others."""
    found = under_way(user)
    note_organizations(found[:SHOWN], user)
    told = [_notice(item, links) for item in found[:SHOWN]]
    more = len(found[SHOWN:])
    if more:
        text = ngettext("%(count)s more operation is under way.", "%(count)s more operations are under way.", more)
        text %= {"count": format_number(more)}
        told.append(Notice(level="info", code="more_operations", text=text, links=_linked(links.operations())))
    return told


def _notice(item: Operation, links: Links) -> Notice:
    facts = {"operation": title_of(item)[:TITLE], "amount": amount_words(item), "user": item.user_name}
    code, text = "under_way", _("Under way: %(operation)s. %(amount)s, by %(user)s.") % facts
    if item.state == Operation.State.PAUSED:
        code, text = "paused", _("Paused: %(operation)s. %(amount)s, by %(user)s.") % facts
    return Notice(level="info", code=code, text=text, links=_linked(links.operation(item.pk)))


def _linked(address: str) -> tuple[tuple[str, str], ...]:
    return ((_("Show"), address),) if address else ()
