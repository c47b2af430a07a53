"""Mails to ADMINS about alarms: one when an alarm is raised, one when it is over, and never a flood.

The leading scheduler sends them, from a thread of its own. What was told stands in the alarm's row, so nothing is lost
with a mail server that refuses, or a scheduler that ends. A mail may come twice, where a scheduler dies right after it.

Within WINDOW there are MOST mails at most. While the alarms to tell are fewer than the mails that are left, each has
its own; else one summary tells all. When no mail is left, they wait. An alarm that comes again within QUIET of its last
mail waits for the end of that, and is told as it is then.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.utils import timezone, translation

from django_jobs.engine.alerts.admin_mail import send_to_admins
from django_jobs.engine.alerts.mail_texts import Entry, Mail, mail_about, summary_of
from django_jobs.engine.alerts.thresholds import BY_URGENCY, RULES, is_mail_on
from django_jobs.engine.store import database
from django_jobs.models import Alert

logger = logging.getLogger("django_jobs")

DUTY: Final = "mail_alerts"
WINDOW: Final = dt.timedelta(minutes=10)
MOST: Final = 6
QUIET: Final = dt.timedelta(minutes=30)
#: An alarm that was over for longer before anybody was told is not told any more.
LATE: Final = dt.timedelta(hours=1)
#: Seconds between two looks; a scheduler that raises an alarm looks at once.
LOOK: Final = 10.0
#: Seconds between two looks whether a mail has gone, and after which it is given up and tried again.
POLL: Final = 0.25
PATIENCE: Final = 60.0
#: Seconds before the next try after the first failure, which are doubled with each further one, and the most.
FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 600.0
#: So many threads may hang in a mail backend that has no limit of time. While they do, one more is tried after
#: LONGEST_PAUSE, another one after twice that, and so on, up to once in LONGEST_HANGING_PAUSE seconds.
MAX_HANGING: Final = 3
LONGEST_HANGING_PAUSE: Final = 86_400.0


class Sending(threading.Thread):
    """Sends one mail. A mail server that hangs holds up this thread alone."""

    def __init__(self, mail: Mail, entries: Sequence[Entry]) -> None:
        super().__init__(name="alert mail", daemon=True)
        self._mail = mail
        self.entries = entries
        self.began = time.monotonic()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Send it, and keep the error where that fails."""
        try:
            send_to_admins(self._mail.subject, self._mail.text)
        except BaseException as error:  # noqa: BLE001  (whatever a backend raises, the mail is tried again)
            self.error = error


class Mailer:
    """Sends what is to be told, for one scheduler, one mail after the other."""

    def __init__(self) -> None:
        self._sending: Sending | None = None
        self._hanging: list[Sending] = []
        self._failures = 0
        self._not_before = 0.0

    def send(self) -> int:
        """Send all that may go now, and return how many mails went. For a scheduler that does its duties in turn."""
        count = 0
        while True:
            done, rest = self.step()
            count += done
            if not done and self._sending is None:
                return count
            if not done:
                time.sleep(min(rest, POLL))

    def step(self) -> tuple[int, float]:
        """Begin, or look after, one mail. Return how many have gone, and for how many seconds to rest."""
        if self._sending is None and not self._begin():
            return 0, self._rest()
        sending = self._sending
        assert sending is not None  # noqa: S101  (it was begun)
        sending.join(POLL)
        if not sending.is_alive():
            return self._ended(sending)
        if time.monotonic() - sending.began > PATIENCE:
            self._hanging.append(sending)
            return self._failed(TimeoutError(f"no answer within {PATIENCE:.0f} s; give the mail backend a timeout"))
        return 0, POLL

    def _rest(self) -> float:
        """Return the seconds until the next look. A mail that hangs may go at last, which must be noted soon."""
        pause = self._not_before - time.monotonic()
        if pause <= 0:
            return LOOK
        return min(pause, LOOK) if self._hanging else pause

    def _begin(self) -> bool:
        self._note_late()
        if not is_mail_on() or time.monotonic() < self._not_before:
            return False
        found = next_mail(database.now())
        if found is None:
            return False
        self._sending = Sending(*found)
        self._sending.start()
        return True

    def _note_late(self) -> None:
        """Forget those that were given up and have ended. What went after all is told: it must not go again."""
        for thread in [thread for thread in self._hanging if not thread.is_alive()]:
            pause = self._pause()
            if thread.error is None:
                note(thread.entries, database.now())
                pause = FIRST_PAUSE
            self._hanging.remove(thread)
            self._not_before = min(self._not_before, time.monotonic() + pause)

    def _ended(self, sending: Sending) -> tuple[int, float]:
        if sending.error is not None:
            return self._failed(sending.error)
        note(sending.entries, database.now())  # raises while the database is away: then it is noted at the next step
        if self._failures:
            logger.info("event=alert_mail_sent_at_last failures=%s", self._failures)
        self._sending, self._failures = None, 0
        return 1, 0.0

    def _failed(self, error: BaseException) -> tuple[int, float]:
        self._sending = None
        self._failures += 1
        pause = self._pause()
        if (excess := len(self._hanging) - MAX_HANGING) >= 0:
            pause = min(LONGEST_HANGING_PAUSE, LONGEST_PAUSE * 2 ** min(excess, 10))
        self._not_before = time.monotonic() + pause
        level = logging.WARNING if self._failures == 1 else logging.INFO
        logger.log(level, "event=alert_mail_failed failures=%s again_in=%.0f error=%r", self._failures, pause, error)
        return 0, self._rest()

    def _pause(self) -> float:
        """Return for how many seconds to wait after so many failures."""
        return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - 1, 10)))


def next_mail(now: dt.datetime) -> tuple[Mail, Sequence[Entry]] | None:
    """Return the next mail and what it tells; None where there is none, or none may go now."""
    entries = sorted(_entries(now), key=_urgency)
    left = MOST - _count_of_mails(now) if entries else 0
    if left <= 0:
        return None
    with translation.override(settings.LANGUAGE_CODE), timezone.override(timezone.get_default_timezone()):
        if len(entries) == 1 or len(entries) < left:
            return mail_about(entries[0], now), entries[:1]
        return summary_of(entries, now), entries


def note(entries: Sequence[Entry], now: dt.datetime) -> None:
    """Store that these were told now, as they were then."""
    rows = [row for entry in entries for row in entry.rows]
    raised = [row.pk for row in rows if row.raise_mailed_at is None]
    over = [row.pk for row in rows if not row.is_open]
    Alert.primary.filter(pk__in=raised).update(raise_mailed_at=now)
    Alert.primary.filter(pk__in=over).update(clear_mailed_at=now)


def _entries(now: dt.datetime) -> Iterator[Entry]:
    """Yield what is to be told, but for what came again too soon."""
    is_untold = Q(open_key__isnull=False, raise_mailed_at=None)
    is_over = Q(cleared_at__isnull=False, clear_mailed_at=None)
    is_over &= Q(raise_mailed_at__isnull=False) | Q(cleared_at__gte=now - LATE)
    grouped: dict[tuple[str, str], list[Alert]] = defaultdict(list)
    for row in Alert.primary.filter(is_untold | is_over, rule__in=list(RULES)).order_by("pk"):
        grouped[row.rule, row.subject].append(row)
    lately = _told_lately(now) if grouped else set()
    for key, rows in grouped.items():
        told = [row for row in rows if row.raise_mailed_at is not None]
        if key not in lately:
            yield Entry(rows=rows)
        elif told and not rows[-1].is_open:  # its first end is told at once
            yield Entry(rows=told)


def _told_lately(now: dt.datetime) -> set[tuple[str, str]]:
    """Return the rules and subjects of which a mail told that they were raised, not long ago.

    What is still to come was written before the clock was set back, and holds up nothing.
    """
    rows = Alert.primary.filter(raise_mailed_at__range=(now - QUIET, now))
    return set(rows.values_list("rule", "subject"))


def _count_of_mails(now: dt.datetime) -> int:
    """Return how many mails went lately: what one told has one moment."""
    moments: set[dt.datetime | None] = set()
    for name in ("raise_mailed_at", "clear_mailed_at"):
        moments |= set(Alert.primary.filter(**{f"{name}__range": (now - WINDOW, now)}).values_list(name, flat=True))
    return len(moments)


def _urgency(entry: Entry) -> tuple[bool, int, int]:
    rule = entry.newest.rule
    return not entry.newest.is_open, BY_URGENCY.index(rule), entry.newest.pk
