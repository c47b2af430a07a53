"""How the search of the jobs list is understood, said in words, with what else it could mean.

A typed word may name several things. The first of ``FINDERS`` that knows it decides; the page offers the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_jobs.admin import search_finders
from django_jobs.admin.lookups import clean_term
from django_jobs.admin.numbers import format_number
from django_jobs.admin.search_finders import Meaning
from django_jobs.admin.search_words import PARAMETER, Pair, pair_text, pairs_of
from django_jobs.admin.seen_organizations import Seen, seen_by
from django_jobs.engine.access import may_hide_jobs
from django_jobs.engine.insight.filter import LOOKED_AT, JobFilter
from django_jobs.engine.insight.search import asks_for_hidden, path_of
from django_jobs.engine.job_types.masking import hidden_from

MAX_OTHERS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What a text was taken for. Without a ``meaning`` there is nothing to search, or it cannot be.

    The ``problem`` then tells why, in a word its ``code``.
    """

    meaning: Meaning | None = None
    others: list[Meaning] = field(default_factory=list)
    problem: str = ""
    code: str = ""


def understand(text: str, seen: Seen) -> Understood:
    """Return what a search means of somebody who may see this.

    Any text has a meaning, or a problem that says what to type instead.
    """
    term = clean_term(text).strip()
    if not term:
        if not text.strip():
            return Understood()
        return Understood(problem=_("Nothing can be searched for in this text."), code="unsearchable")
    pairs = pairs_of(term)
    if pairs:
        return _of_pairs(pairs, term, seen)
    found = list(search_finders.find(term, seen))
    return Understood(meaning=found[0], others=found[1 : MAX_OTHERS + 1])


def understood(request: HttpRequest, text: str) -> Understood:
    """Return what :func:`understand` does, asked once for a request."""
    known: dict[str, Understood] = request.__dict__.setdefault("djobs_understood", {})
    if text not in known:
        known[text] = understand(text, seen_by(request))
    return known[text]


def _of_pairs(pairs: list[Pair], term: str, seen: Seen) -> Understood:
    """Return what pairs mean together: all of them are to match."""
    found: list[Meaning] = []
    keys = [pair.key for pair in pairs if not pair.is_parameter]
    if twice := next((key for key in keys if keys.count(key) > 1), ""):
        return Understood(problem=_("“%(key)s:” can stand in a search only once.") % {"key": twice}, code="twice")
    for pair in pairs:
        answer = _of_parameter(pair, seen) if pair.is_parameter else _of_key(pair, seen)
        if isinstance(answer, Understood):
            return replace(answer, others=_others(pairs, term, seen))
        found.append(answer)
    meaning = found[0]
    for other in found[1:]:
        meaning = _both(meaning, other)
    return Understood(meaning=meaning, others=_others(pairs, term, seen))


def _of_parameter(pair: Pair, seen: Seen) -> Meaning | Understood:
    """Return the jobs with this parameter, or why they cannot be searched for."""
    path = path_of(pair.key)
    if path is None:
        text = _("“%(name)s” cannot be the name of a parameter.")
        return Understood(problem=text % {"name": pair.key}, code="not_a_parameter")
    # Whoever may not read a value must not find out by guessing.
    if asks_for_hidden(path, pair.value, hidden_from(seen.user)):
        text = _("The values of %(name)s are hidden from you, so they cannot be searched for.")
        return Understood(problem=text % {"name": pair.key}, code="hidden")
    # Lists tell of no parameters, and the policy is asked only for jobs that are opened.
    if may_hide_jobs() and not seen.is_system_admin:
        text = _("Parameters cannot be searched here, because it is decided for each job who may read them.")
        return Understood(problem=text, code="decided_by_job")
    facts = {"name": pair.key, "value": pair.value, "count": format_number(LOOKED_AT)}
    return Meaning(
        search=JobFilter(parameters=((path, pair.value),)),
        sentence=_("Jobs with %(name)s %(value)s among the newest %(count)s") % facts,
        text=f"{PARAMETER}{pair.key}:{pair.value}",
    )


def _of_key(pair: Pair, seen: Seen) -> Meaning | Understood:
    """Return what the value of one of our keys names, or that it names nothing."""
    for finder in FINDERS[pair.key]:
        for meaning in finder(pair.value, seen):
            return meaning
    text = _("There is nothing of that name: %(pair)s") % {"pair": pair_text(pair.key, pair.value)}
    return Understood(problem=text, code="unknown_name")


def _others(pairs: list[Pair], term: str, seen: Seen) -> list[Meaning]:
    """Return what else a text of pairs may mean: parameters called like our keys, and words of an error."""
    found: list[Meaning] = []
    if len(pairs) == 1 and not pairs[0].is_parameter:
        other = _of_parameter(pairs[0]._replace(is_parameter=True), seen)
        found += [other] if isinstance(other, Meaning) else []
    if any(pair.is_parameter for pair in pairs):
        found += search_finders.words(term, seen)
    return found


def _both(first: Meaning, second: Meaning) -> Meaning:
    """Return the jobs that match both. They ask for different things, or both for parameters."""
    sentence = _("%(first)s; and: %(second)s") % {"first": first.sentence, "second": second.sentence}
    return Meaning(search=first.search.both(second.search), sentence=sentence, text=f"{first.text} {second.text}")


#: What the value of each key may name; the first that knows it decides.
FINDERS: Final[dict[str, tuple[search_finders.Finder, ...]]] = {
    "job": (search_finders.job_of_id, search_finders.job_of_number),
    "batch": (search_finders.batch_of_id,),
    "type": (search_finders.types_named, search_finders.types_beginning),
    "organization": (search_finders.organizations_with_id, search_finders.organizations_titled),
    "owner": (search_finders.owner,),
    "worker": (search_finders.of_worker,),
    "fingerprint": (search_finders.fingerprint,),
    "error": (search_finders.words,),
}
