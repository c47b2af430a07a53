"""The search box over the list of jobs, and saved filters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DataError
from django.db.models import CharField, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.pages import (
    DeclaredLookups,
    OwnPages,
    clean_term,
    done,
    is_system_admin,
    keys_of,
    view,
)
from django_jobs.conf import jobs_settings
from django_jobs.engine.insight.filter import LIST_TERMS, SEARCH, JobFilter, as_object, words_of
from django_jobs.engine.insight.search import asks_for_hidden, path_of
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.organizations import current_ids, id_of
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import SavedFilter, Worker, get_organization_model
from django_jobs.models.batch import parse_batch_id
from django_jobs.models.job import parse_job_id
from django_jobs.models.organization import MAX_NAME, MAX_QUERY
from django_jobs.texts import in_clauses

# What a typed word may name: a job, a batch, types, organizations, a user, an error, a worker, words of an error.
#
# Each finder yields what it knows by that name and the user may know of. ``find`` asks all of them, the surest first.


#: Types that one word may stand for, and organizations.
MAX_ALIKE: Final = 50
MAX_NAMED: Final = 3
#: Fields that hold the name that people read, the first that an organization's model has.
TITLES: Final = ("title", "name")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_WORKER: Final = re.compile(r"\S+-\d+-[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Something that a text may mean. ``text`` is the search that means it and nothing else.

    ``names`` are those of the organizations that it names, by primary key.
    """

    search: JobFilter
    text: str
    names: Mapping[Any, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Return it as labels and values, for people."""
        return in_clauses(f"{capfirst(label)}: {value}" for label, value in self.search.words(self.names))


Finder = Callable[[str, Scope], Iterator[Meaning]]


def find(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield what the term may mean, the surest first; the last is always: words of an error."""
    for certain in (job_of_id, batch_of_id):
        if found := list(certain(term, scope)):
            yield from found
            return
    for finder in (job_of_number, types_named, organizations_with_id, owner, fingerprint, worker):
        yield from finder(term, scope)
    yield from organizations_titled(term, scope)
    yield from types_beginning(term, scope)
    yield from words(term, scope)


def job_of_id(term: str, _scope: Scope) -> Iterator[Meaning]:
    """Yield the job with this id, whether or not there is one."""
    parsed = parse_job_id(term)
    if parsed is not None:
        yield Meaning(search=JobFilter(job_id=(parsed,)), text=term)


def job_of_number(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield the job with this number, if there is one."""
    for job in scope.jobs().filter(pk__in=keys_of([term])).only("created_at"):
        search = JobFilter(job_id=((job.pk, job.created_at.year),))
        yield Meaning(search=search, text=pair_text("job", str(job.pk)))


def batch_of_id(term: str, _scope: Scope) -> Iterator[Meaning]:
    """Yield the jobs of the batch with this id, whether or not there is one."""
    parsed = parse_batch_id(term)
    if parsed is not None:
        yield Meaning(search=JobFilter(batch=parsed), text=term)


def types_named(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield the jobs of the types that are called so."""
    rows = scope.types.filter(Q(pk__iexact=term) | Q(display_name__iexact=term))
    for name in rows.order_by("pk").values_list("pk", flat=True)[:MAX_ALIKE]:
        yield Meaning(search=JobFilter(job_type=(name,)), text=pair_text("type", name))


def types_beginning(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield the jobs of the types whose names begin so and go on; a star at the end means the same."""
    term = term.removesuffix("*")
    begin = Q(pk__istartswith=term) | Q(display_name__istartswith=term)
    rows = scope.types.filter(begin).exclude(Q(pk__iexact=term) | Q(display_name__iexact=term))
    names = tuple(rows.order_by("pk").values_list("pk", flat=True)[:MAX_ALIKE])
    if names:
        yield Meaning(search=JobFilter(job_type=names), text=pair_text("type", f"{term}*"))


def organizations_with_id(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield the jobs of the organization with this id."""
    yield from map(_of_organization, _with_id(term, scope))


def organizations_titled(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield the jobs of each organization whose title is this or begins so, without the one that has this id."""
    name = title_field()
    if name:
        # By key: where ids are numbers, no condition can name an id that is none.
        known = [found.pk for found in _with_id(term, scope)]
        yield from map(_of_organization, _organizations(scope, Q((f"{name}__istartswith", term)) & ~Q(pk__in=known)))


def _with_id(term: str, scope: Scope) -> list[Any]:
    return _organizations(scope, Q((str(jobs_settings.ORGANIZATION_ID_FIELD), term)))


def _organizations(scope: Scope, which: Q) -> list[Any]:
    try:
        return list(scope.tenants.filter(which).order_by("pk")[:MAX_NAMED])
    except (TypeError, ValueError, ValidationError, OverflowError, DataError):  # ids that are no text
        return []


def _of_organization(found: Any) -> Meaning:
    label, key = str(found), id_of(found)
    names = {found.pk: label if label == key else f"{label} ({key})"}
    return Meaning(search=JobFilter(organization=(found.pk,)), text=pair_text("organization", key), names=names)


def title_field() -> str:
    """Return the name of the organization model's field that people read; empty if it has none of ours."""
    for name in TITLES:
        try:
            if isinstance(get_organization_model()._meta.get_field(name), CharField):
                return name
        except FieldDoesNotExist:
            continue
    return ""


def owner(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield the jobs of the user with this name, if there are any."""
    if scope.jobs().filter(owner_name=term).exists():
        yield Meaning(search=JobFilter(owner=term), text=pair_text("owner", term))


def fingerprint(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield the jobs whose error has this fingerprint, or one that begins so, if there are any."""
    if _FINGERPRINT.fullmatch(term.lower()) is None:
        return
    search = JobFilter(fingerprint_start=term.lower())
    if search.among_newest(scope.jobs(), scope.organizations)[0].exists():
        yield Meaning(search=search, text=pair_text("fingerprint", term.lower()))


def worker(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield the jobs of the worker that is called so, or whose name begins so."""
    if scope.is_system_admin and (_WORKER.fullmatch(term) or Worker.primary.filter(name__startswith=term).exists()):
        yield from of_worker(term, scope)


def of_worker(term: str, scope: Scope) -> Iterator[Meaning]:
    """Yield the jobs of the workers whose names begin so. These names are for system admins."""
    if scope.is_system_admin:
        yield Meaning(search=JobFilter(worker=term), text=pair_text("worker", term))


def of_term(name: str) -> Finder:
    """Return what finds the jobs that a term of a filter names, as it is typed."""

    def find_term(term: str, scope: Scope) -> Iterator[Meaning]:
        try:
            search = JobFilter.read({name: term}, scope.user)
        except InvalidFilter:
            return
        yield Meaning(search=search, text=pair_text(name, term), names=current_ids(search.organization or ()))

    return find_term


def words(term: str, _scope: Scope) -> Iterator[Meaning]:
    """Yield the failed jobs whose error has these words."""
    yield Meaning(search=JobFilter(error=term), text=pair_text("error", term))


# How the search of the jobs list is understood, said in labels and values, with what else it could mean.
#
# A typed word may name several things. The first of ``FINDERS`` that knows it decides; the page offers the others.


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


def understand(text: str, scope: Scope) -> Understood:
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
        return _of_pairs(pairs, term, scope)
    found = list(find(term, scope))
    return Understood(meaning=found[0], others=found[1 : MAX_OTHERS + 1])


def understood(request: HttpRequest, text: str) -> Understood:
    """Return what :func:`understand` does, asked once for a request."""
    known: dict[str, Understood] = request.__dict__.setdefault("djobs_understood", {})
    if text not in known:
        known[text] = understand(text, scope_of(request))
    return known[text]


def _of_pairs(pairs: list[Pair], term: str, scope: Scope) -> Understood:
    """Return what pairs mean together: all of them are to match."""
    found: list[Meaning] = []
    keys = [pair.key for pair in pairs if not pair.is_parameter]
    if twice := next((key for key in keys if keys.count(key) > 1), ""):
        return Understood(problem=_("“%(key)s:” can stand in a search only once.") % {"key": twice}, code="twice")
    for pair in pairs:
        answer = _of_parameter(pair, scope) if pair.is_parameter else _of_key(pair, scope)
        if isinstance(answer, Understood):
            return replace(answer, others=_others(pairs, term, scope))
        found.append(answer)
    meaning = found[0]
    for other in found[1:]:
        meaning = _both(meaning, other)
    return Understood(meaning=meaning, others=_others(pairs, term, scope))


def _of_parameter(pair: Pair, scope: Scope) -> Meaning | Understood:
    """Return the jobs with this parameter, or why they cannot be searched for."""
    path = path_of(pair.key)
    if path is None:
        text = f"{pair.key}: {_('Name a parameter, or a path such as customer.id.')}"
        return Understood(problem=text, code="not_a_parameter")
    # Whoever may not read a value must not find out by guessing.
    if asks_for_hidden(path, pair.value, hidden_from(scope.user)):
        text = _("The values of %(name)s are hidden from you, so they cannot be searched for.")
        return Understood(problem=text % {"name": pair.key}, code="hidden")
    # Lists tell of no parameters, and the policy is asked only for jobs that are opened.
    if scope.hides_jobs and not scope.is_system_admin:
        text = _("Parameters cannot be searched here, because it is decided for each job who may read them.")
        return Understood(problem=text, code="decided_by_job")
    return Meaning(search=JobFilter(parameters=((path, pair.value),)), text=f"{PARAMETER}{pair.key}:{pair.value}")


def _of_key(pair: Pair, scope: Scope) -> Meaning | Understood:
    """Return what the value of one of our keys names, or that it names nothing."""
    for finder in FINDERS.get(pair.key, (of_term(pair.key),)):
        for meaning in finder(pair.value, scope):
            return meaning
    text = _("%(value)s: there is no such choice") % {"value": pair_text(pair.key, pair.value)}
    return Understood(problem=text, code="unknown_name")


def _others(pairs: list[Pair], term: str, scope: Scope) -> list[Meaning]:
    """Return what else a text of pairs may mean: parameters called like our keys, and words of an error."""
    found: list[Meaning] = []
    if len(pairs) == 1 and not pairs[0].is_parameter:
        other = _of_parameter(pairs[0]._replace(is_parameter=True), scope)
        found += [other] if isinstance(other, Meaning) else []
    if any(pair.is_parameter for pair in pairs):
        found += words(term, scope)
    return found


def _both(first: Meaning, second: Meaning) -> Meaning:
    """Return the jobs that match both. They ask for different things, or both for parameters."""
    text, names = f"{first.text} {second.text}", {**first.names, **second.names}
    return Meaning(search=first.search.both(second.search), text=text, names=names)


#: What the value of each key may name; the first that knows it decides.
FINDERS: Final[dict[str, tuple[Finder, ...]]] = {
    "job": (job_of_id, job_of_number),
    "batch": (batch_of_id,),
    "type": (types_named, types_beginning),
    "organization": (organizations_with_id, organizations_titled),
    "owner": (owner,),
    "worker": (of_worker,),
    "fingerprint": (fingerprint,),
    "error": (words,),
}


# How a typed search is split: pairs such as ``type:mails`` and ``customer.id:17``, or words that stand alone.


#: The keys that name no parameter, and other spellings of them.
#: The first ones have finders; the others are terms of a filter of jobs.
_FOUND: Final = ("job", "batch", "type", "organization", "owner", "worker", "fingerprint", "error")
_SPELLINGS: Final = {"user": "owner", "org": "organization", "words": "error", "job_id": "job", "job_type": "type"}
KEYS: Final = (*_FOUND, *(name for name in LIST_TERMS if name not in {*_FOUND, *_SPELLINGS, SEARCH, "parameters"}))
#: Before a parameter's name it says that the name is no key.
PARAMETER: Final = "parameters."
MAX_PAIRS: Final = 5
_PAIR: Final = re.compile(r'\s*([^\s:"]+):("[^"]*"|[^\s"]\S*)(?=\s|\Z)')
_WHOLE: Final = re.compile(r"\s*(\w+):\s*(\S.*)", re.DOTALL)


class Pair(NamedTuple):
    """A key and a value. The key is one of KEYS, or the path of a parameter (``is_parameter``)."""

    key: str
    value: str
    is_parameter: bool


def pairs_of(text: str) -> list[Pair]:
    """Return the pairs that a text consists of; nothing if it has anything else in it, or one of our keys has no value.

    What follows ``error:`` is one value, however many words it has.
    """
    whole = _WHOLE.fullmatch(text)
    if whole is not None and key_of(whole[1]) == "error":
        return _with_values([Pair("error", unquoted(whole[2].strip()), is_parameter=False)])
    found: list[Pair] = []
    end = 0
    while (match := _PAIR.match(text, end)) is not None and len(found) < MAX_PAIRS:
        found.append(_pair(match[1], match[2]))
        end = match.end()
    return _with_values(found) if not text[end:].strip() else []


def _with_values(pairs: list[Pair]) -> list[Pair]:
    """Return the pairs; none where the value of one is blank: without it the others would find more."""
    return pairs if all(pair.value.strip() for pair in pairs) else []


def _pair(name: str, value: str) -> Pair:
    if name.startswith(PARAMETER):
        return Pair(name.removeprefix(PARAMETER), value, is_parameter=True)
    key = key_of(name)
    return Pair(name, value, is_parameter=True) if key is None else Pair(key, unquoted(value), is_parameter=False)


def key_of(name: str) -> str | None:
    """Return the key that is spelled so; None for a parameter's name."""
    key = _SPELLINGS.get(name.lower(), name.lower())
    return key if key in KEYS else None


def pair_text(key: str, value: str) -> str:
    """Return the search for one pair, which is understood in no other way."""
    return f'{key}:"{value}"' if re.search(r"\s", value) and key != "error" else f"{key}:{value}"


def unquoted(value: str) -> str:
    """Return a value without the quotation marks around it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


# Filters that somebody keeps under a name: links above the jobs list, and the page on which they are deleted.


#: So many a user may keep, and so many that others share are offered.
MOST: Final = 30
#: A shared filter with nothing but these names no tenant and nobody's job, so that all staff may see it.
HARMLESS: Final = frozenset({"status", "job_type", "priority", "created_after", "has_error", "pool"})


class NameForm(forms.Form):
    """The name of a saved filter, and whether others are offered it."""

    name = forms.CharField(max_length=MAX_NAME, label=capfirst(gettext_lazy("name")))
    is_shared = forms.BooleanField(required=False, label=gettext_lazy("For everybody who sees jobs"))


class SavedFilters(OwnPages, DeclaredLookups):
    """Keeps filters of the list for its users. Shared ones are made by system admins."""

    def cleaned_query(self, request: HttpRequest, text: str) -> str:
        """Return those parts of a query string that this list knows: its filters and its search."""
        filters: Any = self.get_list_filter(request)
        known = {SEARCH_VAR, *(name for item in filters for name in self.parameters_of(item, request))}
        asked = QueryDict(text[: 4 * MAX_QUERY])
        kept = as_object({name: asked.getlist(name) for name in asked if name in known})
        storable = {name: value for name, value in sorted(kept.items()) if all(map(is_storable_text, listed_of(value)))}
        return urlencode(storable, doseq=True)

    @view("saved-filters/", "saved_filters")
    def _saved(self, request: HttpRequest) -> HttpResponse:
        found = _without_too_many(self._deletable(request).select_related("user"), request.user)
        title = _("Saved filters")
        address = self.url_of("changelist")
        rows = [(item, f"{address}?{item.query}", words_for(item), item.user_id == request.user.pk) for item in found]
        return self.page(request, "job/saved_filters.html", title, title, rows=rows)

    @view("saved-filters/save/", "save_filter")
    def _save(self, request: HttpRequest) -> HttpResponse:
        query = self.cleaned_query(request, request.POST.get("query", ""))
        if request.method == "POST":
            self.message_user(request, *self._saved_as(request, query))
        return HttpResponseRedirect(f"{self.url_of('changelist')}?{query}")

    def _saved_as(self, request: HttpRequest, query: str) -> tuple[str, int, str]:
        """Save the query under the posted name; return what to tell of it, at which level, and its code."""
        form, user = NameForm(request.POST), _user_of(request)
        own = SavedFilter.primary.filter(user_id=user.pk)
        if not query:
            text = _("Nothing is saved yet. Narrow the list of jobs, or search it, and choose “Save this filter”.")
            return text, messages.WARNING, "nothing_to_save"
        if len(query) > MAX_QUERY:
            return _("Give at most %(most)s characters.") % {"most": MAX_QUERY}, messages.WARNING, "too_long"
        if not form.is_valid():
            return " ".join(map(str, form.errors["name"])), messages.WARNING, "invalid_name"
        name = form.cleaned_data["name"]
        if own.exclude(name=name).count() >= MOST:
            text = _("Not saved: you have %(most)s saved filters already. Delete one that you do not need any more.")
            return text % {"most": MOST}, messages.WARNING, "too_many"
        is_shared = form.cleaned_data["is_shared"] and is_system_admin(request)
        values = {"query": query, "is_shared": is_shared}
        _row, is_new = SavedFilter.primary.update_or_create(user_id=user.pk, name=name, defaults=values)
        return done(_("Save"), name), messages.SUCCESS, "saved" if is_new else "replaced"

    @view("saved-filters/<int:pk>/delete/", "delete_filter", post_only=True)
    def _delete(self, request: HttpRequest, pk: int) -> HttpResponse:
        found = self._deletable(request).filter(pk__in=keys_of([str(pk)])).first()
        text, level, code = capfirst(_("deleted meanwhile")), messages.WARNING, "gone"
        if found is not None:
            found.delete()
            text, level, code = done(_("Delete"), found.name), messages.SUCCESS, "deleted"
        self.message_user(request, text, level, extra_tags=code)
        return HttpResponseRedirect(self.url_of("saved_filters"))

    @staticmethod
    def _deletable(request: HttpRequest) -> QuerySet[SavedFilter]:
        """Return the filters that the user may delete: their own, and for system admins the shared ones."""
        own = Q(user_id=request.user.pk)
        return SavedFilter.primary.filter(own | Q(is_shared=True) if is_system_admin(request) else own)


def offered_to(request: HttpRequest) -> list[SavedFilter]:
    """Return the saved filters above the list: the user's own, and those that are shared with all.

    Staff who manage only some organizations are offered no shared filter that could name others.
    """
    user: Any = request.user
    rows = SavedFilter.primary.filter(Q(user_id=user.pk) | Q(is_shared=True))
    if is_system_admin(request):
        return _without_too_many(rows, user)
    scope = scope_of(request)
    return _without_too_many((item for item in rows if item.user_id == user.pk or _is_harmless(item, scope)), user)


def _without_too_many(found: Iterable[SavedFilter], user: Any) -> list[SavedFilter]:
    """Return the user's own ones of these, and the first MOST that others share."""
    listed = list(found)
    others = [item.pk for item in listed if item.user_id != user.pk]
    too_many = set(others[MOST:])
    return [item for item in listed if item.pk not in too_many]


def _user_of(request: HttpRequest) -> Any:
    """Return the user, who is signed in: nobody else gets to these pages."""
    return request.user


def _is_harmless(item: SavedFilter, scope: Scope) -> bool:
    asked = QueryDict(item.query)
    types = set(asked.getlist("job_type"))
    return set(asked) <= HARMLESS and (not types or scope.types.filter(pk__in=types).count() == len(types))


def words_for(item: SavedFilter) -> str:
    """Return what a saved filter asks for, as labels and values in the reader's language."""
    asked = QueryDict(item.query)
    given = as_object({SEARCH if name == SEARCH_VAR else name: values for name, values in asked.lists()})
    told = [(LIST_TERMS[name].label if name in LIST_TERMS else name, text) for name, text in words_of(given)]
    return " · ".join(f"{label}: {text}" for label, text in told)


def listed_of(value: Any) -> list[str]:
    """Return the values of a parameter one by one."""
    return value if isinstance(value, list) else [value]
