"""What a rule is given to look with, and what it returns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: How many subjects of one rule may be wrong at once. There is no use in more sentences.
MAX_FINDINGS: Final = 50
#: Characters of an error.
MAX_ERROR: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong with a subject. ``facts`` can be stored as JSON."""

    subject: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Round:
    """What all rules of one evaluation share: its moment, and what was found."""

    moment: dt.datetime
    #: The subjects that were found in this round, by rule.
    found: dict[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one rule looks with: the round, its thresholds, and the facts of its open alarms by subject."""

    round: Round
    thresholds: Mapping[str, Any]
    open: Mapping[str, Mapping[str, Any]]

    @property
    def moment(self) -> dt.datetime:
        """Return when the rules are evaluated, by the database's clock."""
        return self.round.moment

    def ago(self, seconds: float) -> dt.datetime:
        """Return the moment so many seconds before."""
        return self.moment - dt.timedelta(seconds=seconds)


def since_of(facts: Mapping[str, Any]) -> dt.datetime | None:
    """Return since when something is wrong, as facts have it; None where they do not say."""
    text = facts.get("since")
    return dt.datetime.fromisoformat(text) if isinstance(text, str) else None


def one_line(text: str) -> str:
    """Return an error in one line, as long as a sentence can have it."""
    shown = " ".join(text.split())
    return f"{shown[:MAX_ERROR]}…" if len(shown) > MAX_ERROR else shown
