"""What all pages of the console share: admin classes, looking records up, news of acts, the socket of a page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import django
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.filters import FieldListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.models import CHANGE
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path, quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import url_params_from_lookup_dict
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import CharField, Field, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, get_script_prefix, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext as _

from django_jobs.admin.writing import CappedCount, line
from django_jobs.engine.access import key_in
from django_jobs.engine.control import audit
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.memory import Memory
from django_jobs.engine.organizations import is_gone, shown_id
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import capped_count
from django_jobs.exceptions import JobsError
from django_jobs.models import Job
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS
from django_jobs.texts import told

# What an address may narrow, sort and search a list by: what the admin class declares, and nothing else.
#
# Django's own admin takes any look-up of a model's own fields. Such look-ups would answer questions about values that
# the pages mask, and a regular expression in one could keep the database busy.


if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Any]
else:
    BaseAdmin = admin.ModelAdmin

#: At most so many characters of a search are looked for.
MAX_TERM: Final = 200
NUL: Final = "\x00"


#: Names and values of addresses that had others before.
NAMES_BEFORE: Final = {"type": "job_type", "created": "created_after", "fingerprint": "error_fingerprint"}
VALUES_BEFORE: Final[Mapping[tuple[str, str], tuple[str, Collection[str]]]] = {
    ("error", "yes"): ("has_error", ["yes"]),
    ("error", "no"): ("has_error", ["no"]),
    ("status", "failed_all"): ("status", sorted(WITH_ERRORS)),
    ("status", "retrying"): ("status", sorted(AWAITING_RETRY)),
}


def renamed(query: QueryDict) -> QueryDict:
    """Return the parameters of an address with the names and values that its filters have now."""
    found = QueryDict(mutable=True)
    for given, values in query.lists():
        for value in values:
            name, now = VALUES_BEFORE.get((given, value), (NAMES_BEFORE.get(given, given), [value]))
            found.setlist(name, [*found.getlist(name), *now])
    return found


class DeclaredList(ChangeList):
    """A page of rows. It can be sorted only by ``sortable_by``, and never shows a bound as the number of rows."""

    def get_ordering_field(self, field_name: Any) -> Any:
        return super().get_ordering_field(field_name) if field_name in (self.sortable_by or ()) else None

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if getattr(self.paginator, "is_cut", False):
            # Django would show the bound beside the search as the number of results.
            self.full_result_count = self.result_count

    def get_filters(self, request: HttpRequest) -> Any:
        # No row holds such a text, and some databases complain of it only when the list is read.
        if not all(is_storable_text(value) for values in self.get_filters_params().values() for value in values):
            raise IncorrectLookupParameters
        return super().get_filters(request)


class DeclaredLookups(BaseAdmin):
    """Refuses every look-up but the parameters of ``list_filter`` and ``date_hierarchy``.

    It does so as Django refuses look-ups that it knows to be dangerous: with status 400 and a line of the logger
    ``django.security``.
    """

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if (query := renamed(request.GET)) != request.GET:
            return HttpResponseRedirect(f"?{query.urlencode()}")
        return super().changelist_view(request, extra_context)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeclaredList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return (
            lookup in self._declared_by_hierarchy()
            or any(lookup in self.parameters_of(item, request) for item in self.get_list_filter(request))
            or self._is_limit_of_a_key(lookup, value)
        )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Search for the first characters only. For a long text Django nests more look-ups than databases can parse."""
        return super().get_search_results(request, queryset, clean_term(search_term))

    def _declared_by_hierarchy(self) -> set[str]:
        return {f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day")} if self.date_hierarchy else set()

    def parameters_of(self, item: Any, request: HttpRequest) -> list[str]:
        """Return the parameters of one item of ``list_filter``, asked of the filter that Django makes of it."""
        if name := getattr(item, "parameter_name", None):
            return [name]
        arguments: tuple[Any, ...] = (request, {}, self.model, self)
        if callable(item):
            made = item(*arguments)
        else:
            named, build = item if isinstance(item, tuple | list) else (item, FieldListFilter.create)
            path = named.name if isinstance(named, Field) else named
            made = build(get_fields_from_path(self.model, path)[-1], *arguments, field_path=path)
        return list(made.expected_parameters())

    def _is_limit_of_a_key(self, lookup: str, value: Any) -> bool:
        """Return whether a foreign key of the host has this look-up with this value in its ``limit_choices_to``."""
        limits = (limit() if callable(limit) else limit for limit in self.opts.related_fkey_lookups)
        return any((lookup, value) in url_params_from_lookup_dict(limit).items() for limit in limits)


def clean_term(text: str, limit: int = MAX_TERM) -> str:
    """Return the part of a typed text that is looked for: without NUL, and at most MAX_TERM characters."""
    return text.replace(NUL, "")[:limit]


#: A choice beside the single statuses: the changes that the monitor counts as failed attempts.
FAILURES: Final = "failures"


# What the admins share: who may see and write, pages of their own, and lists of bounded cost.


if TYPE_CHECKING:
    BasePaginator = Paginator[Any]
else:
    BasePaginator = Paginator

View = Callable[..., Any]

#: The numbers of the bar over all pages, by who sees them and which they are. They are forgotten once a button was
#: pressed, so that what was done is seen at once.
bar_numbers: Final[Memory[tuple[Any, frozenset[str]], Mapping[str, CappedCount]]] = Memory(1_000)


def is_system_admin(request: HttpRequest) -> bool:
    """Return whether the access policy lets this user manage every organization's jobs; asked once for a request."""
    return scope_of(request).is_system_admin


def sees_jobs(request: HttpRequest) -> bool:
    """Return whether this user sees pages about jobs: system admins do, and staff with that permission."""
    user: Any = request.user
    return is_system_admin(request) or bool(user.is_active and user.has_perm("django_jobs.view_job"))


def address_to_go_back_to(request: HttpRequest) -> str:
    """Return the field ``next`` of a form if it is an address of this site, else an empty text."""
    address = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if is_ours else ""


def keys_of(texts: Iterable[str]) -> list[int]:
    """Return the primary keys among these texts; the other texts are left out."""
    return [key for text in texts if (key := key_in(text)) is not None]


class CappedPaginator(BasePaginator):
    """Counts and pages no further than the bound in ``store.counting``. Search and filters find the rows behind it."""

    @cached_property
    def count(self) -> int:
        return self._counted[0]

    @property
    def is_cut(self) -> bool:
        """Return whether there are more rows than were counted."""
        return self._counted[1]

    @property
    def amount(self) -> CappedCount:
        """Return how many rows there are, for people."""
        return CappedCount(count=self.count, is_cut=self.is_cut)

    @cached_property
    def _counted(self) -> tuple[int, bool]:
        rows: Any = self.object_list
        # Without the values that only a page's rows need.
        return capped_count(rows.values("pk"))


class SystemAdminWrites(DeclaredLookups):
    """Only system admins write the model. They see it, and so do staff with the model's view permission."""

    # Facets would count every row for every choice.
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A form that was filled from a lagging replica would write old values back.
        return super().get_queryset(request).using(database.alias())

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        # PostgreSQL refuses to look for a text that it cannot store, such as one with the character NUL.
        return super().get_object(request, object_id, from_field) if is_storable_text(object_id) else None

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request) or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_system_admin(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        # Django looks for the object first, and its answer tells whether there is one.
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    # Django's own methods write only the rows of the history; these also write the log.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        audit.record(request.user, [obj], audit.Act.ADDED, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        audit.record(request.user, [obj], audit.Act.CHANGED, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        audit.record(request.user, list(queryset), audit.Act.DELETED)


class NobodyWrites(SystemAdminWrites):
    """Only the engine writes the model. The same people see it, in pages of bounded cost, the newest rows first."""

    actions: Any = None
    paginator = CappedPaginator
    show_full_result_count = False
    list_max_show_all = 0
    list_per_page = 50
    # Only the primary key has an index that covers all rows.
    ordering = ("-id",)
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses in the admin site of this name: a host may register the console in a site of its own."""

    site: str

    def page(self, name: str, *args: Any, **query: Any) -> str:
        """Return the address of one of the site's pages, such as ``job_run_again``. ``query`` goes behind it."""
        address = reverse(f"{self.site}:django_jobs_{name}", args=[quote(arg) for arg in args])
        return f"{address}?{urlencode(query, doseq=True)}" if query else address

    def change(self, model: str, pk: Any) -> str:
        """Return the address of the page of one row."""
        return self.page(f"{model}_change", pk)

    def list(self, model: str, **query: Any) -> str:
        """Return the address of a list. ``query`` are its filters; those that are None are left out."""
        return self.page(f"{model}_changelist", **{name: value for name, value in query.items() if value is not None})

    def jobs(self, **query: Any) -> str:
        """Return the address of the list of jobs that these filters leave."""
        return self.list("job", **query)

    def failures(self, job_type: str = "", **query: Any) -> str:
        """Return the address of the groups of failures, of this type if given."""
        return self.list("failure", job_type=job_type or None, **query)

    def failure_group(self, job_type: str, error_fingerprint: str, **query: Any) -> str:
        """Return the address of the page of one group of failures."""
        return self.page("failure_group", job_type=job_type, error_fingerprint=error_fingerprint, **query)


#: The field of a page that asks, by which it tells that somebody has confirmed.
CONFIRMED: Final = "confirmed"


def view(
    route: str, name: str, *, right: str = "view", post_only: bool = False, verbs: Iterable[str] = ()
) -> Callable[[View], View]:
    """Make a method of ``OwnPages`` a page below the address of the model.

    Who lacks the right, if one is needed, is refused. So is another method than POST where a button alone leads there.
    A method whose route has ``<path:object_id>`` gets the row; a row that is gone leads to the list. With ``verbs``
    there is a page for each of them: ``{verb}`` stands for it in route and name, and the method gets it.
    """

    def mark(method: View) -> View:
        @wraps(method)
        def checked(self: OwnPages, request: HttpRequest, *args: Any, **named: Any) -> Any:
            if right and not getattr(self, f"has_{right}_permission")(request):
                raise PermissionDenied
            if post_only and request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            object_id = named.pop("object_id", None)
            if object_id is None:
                return method(self, request, *args, **named)
            row = self.find(request, object_id)
            return self.gone(request, object_id) if row is None else method(self, request, row, *args, **named)

        each: list[dict[str, str]] = [{"verb": verb} for verb in verbs] or [{}]
        pages = [(name.format(**values), route.format(**values), values) for values in each]
        checked.pages = [*getattr(method, "pages", ()), *pages]  # type: ignore[attr-defined]
        return checked

    return mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A button of a row's page: its words, what it does for a user, and the code of what is said afterwards.

    ``perform`` returns whether the row was different until then.
    """

    label: Any
    code: str
    perform: Callable[[Any, Any], bool]
    #: Whether it would change something now.
    fits: Callable[[Any], bool] = lambda _row: True
    #: Whether this user may, as far as that is known beforehand; the engine decides.
    may: Callable[[Any, Any], bool] = lambda _user, _row: True
    #: What would happen, in sentences, for the page that asks before; None where nobody is asked.
    asks: Callable[[Any], Iterable[Any]] | None = None


class OwnPages(BaseAdmin):
    """Adds pages and buttons to those that Django has; ``only_own`` says that there are none of Django's."""

    only_own = False
    #: The buttons of a row's page by the ends of their addresses, and the right that they want.
    switches: Mapping[str, Switch] = MappingProxyType({})
    switches_want = "view"

    class Media:
        css = {"all": ["django_jobs/admin.css"]}

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        names = dict.fromkeys(name for kind in type(self).__mro__ for name in vars(kind))
        own = [
            path(route, self.admin_site.admin_view(getattr(self, method)), values, name=f"{prefix}{name and '_'}{name}")
            for method in names
            for name, route, values in getattr(getattr(type(self), method, None), "pages", ())
        ]
        press = self.admin_site.admin_view(self._press)
        own += [
            path(f"<path:object_id>/{verb}/", press, {"verb": verb}, name=f"{prefix}_{verb}") for verb in self.switches
        ]
        # The key of a row would match the beginning of a fixed address.
        own.sort(key=lambda pattern: "<path:" in str(pattern.pattern))
        return own if self.only_own else [*own, *super().get_urls()]

    @property
    def links(self) -> Links:
        """Return the addresses of this site's pages."""
        return Links(self.admin_site.name)

    def url_of(self, page: str, pk: Any = None) -> str:
        """Return the address of one of this model's pages, of the list or, with ``pk``, of a row."""
        return self.links.page(f"{self.opts.model_name}_{page}", *([] if pk is None else [pk]))

    def go_to(self, pk: Any) -> HttpResponseRedirect:
        """Return a redirect to an object's own page, which shows the messages."""
        return HttpResponseRedirect(self.home_of(pk))

    def home_of(self, pk: Any) -> str:
        """Return the address of the page that has an object's buttons."""
        return self.url_of("change", pk)

    def go_back(self, request: HttpRequest, pk: Any) -> HttpResponseRedirect:
        """Return a redirect to where a form of another page wants to go back to, else to an object's own page."""
        return HttpResponseRedirect(address_to_go_back_to(request) or self.home_of(pk))

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """Return the object if it is there and this user may see it, else None."""
        return self.get_object(request, unquote(object_id))

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        # A form of ours holds keys alone. Django would ask the database for anything, which refuses some of it.
        is_text = isinstance(self.opts.pk, CharField)
        for text in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if not (is_storable_text(text) if is_text else keys_of([text])):
                return self.gone(request, quote(text))
        return super().response_action(request, queryset, *args, **kwargs)

    def offered(self, request: HttpRequest, row: Any) -> list[tuple[Any, str, bool]]:
        """Return the buttons that do something to a row now: words, address, and whether it asks before."""
        return [
            (button.label, self.url_of(verb, row.pk), button.asks is not None)
            for verb, button in self.switches.items()
            if button.fits(row) and button.may(request.user, row)
        ]

    def _press(self, request: HttpRequest, object_id: str, *, verb: str) -> HttpResponse:
        """Do what a button does, or return the page that asks before it."""
        button = self.switches[verb]
        if not getattr(self, f"has_{self.switches_want}_permission")(request):
            raise PermissionDenied
        if request.method != "POST" and button.asks is None:
            return HttpResponseNotAllowed(["POST"])
        row = self.find(request, object_id)
        if row is None:
            return self.gone(request, object_id)
        if not button.may(request.user, row):
            raise PermissionDenied
        if request.method == "POST" or button.asks is None:
            self.switch(request, row, button)
            return self.go_back(request, row.pk)
        name = audit.name_of(row)
        title = _("%(act)s: %(name)s?") % {"act": button.label, "name": name}
        return self.page(
            request,
            "confirm.html",
            title,
            title,
            nothing=None if button.fits(row) else ("nothing_to_do", _second(name)),
            consequences=list(button.asks(row)),
            yes=button.label,
            back_url=self.home_of(row.pk),
        )

    def switch(self, request: HttpRequest, row: Any, button: Switch) -> None:
        """Do what the button does, and tell what became of it; who presses second is told so."""
        name, level, code = audit.name_of(row), messages.INFO, button.code
        try:
            text = done(button.label, name)
            if not button.perform(row, request.user):
                text, level, code = _second(name), messages.WARNING, f"already_{code}"
        except JobsError as error:
            text, level, code = f"{name}: {told(error)}", messages.ERROR, error.code
        database.once_on_commit(bar_numbers.clear)
        # Django makes the first letter of a plain text a capital one.
        self.message_user(request, format_html("<span>{}</span>", text), level, extra_tags=code)

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return a redirect to the list, with the message that the object is not there any more."""
        name = unquote(object_id)
        text = _("%(kind)s %(name)s is not there any more.") % {"kind": self.opts.verbose_name, "name": name}
        self.message_user(request, text, messages.WARNING, extra_tags="gone")
        return HttpResponseRedirect(self.url_of("changelist"))

    def page(self, request: HttpRequest, template: str, title: str, place: str, **context: Any) -> TemplateResponse:
        """Return one of our pages inside Django's frame. ``place`` is the last word of the breadcrumbs."""
        values = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "original": place,
            # Each release's style sheets know only the markup of that release.
            "crumbs_are_a_list": django.VERSION >= (6, 1),
            "media": self.media,
            "has_view_permission": self.has_view_permission(request),
            "back_url": self.url_of("changelist"),
            **context,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"admin/django_jobs/{template}", values)

    def form_page(
        self, request: HttpRequest, form: Any, title: str, facts: list[tuple[str, Any]], **context: Any
    ) -> TemplateResponse:
        """Return a page with a form that looks like Django's own.

        ``facts`` stand above the form and cannot be changed.
        """
        names = list(form.fields)
        fieldsets = AdminForm(form, [(None, {"fields": names})], {}, model_admin=self)
        context |= {"form": form, "adminform": fieldsets, "errors": form.errors, "facts": facts}
        return self.page(request, "submit.html", title, title, **context)

    def remember(self, request: HttpRequest, objects: list[Any], message: str, flag: int = CHANGE) -> None:
        """Write what this user did to these objects into the admin's own history and the log."""
        audit.record(request.user, objects, audit.Act(flag), message)


class SeesJobs(OwnPages, NobodyWrites):
    """Pages about jobs that everybody sees who may see jobs: system admins, and staff with that permission."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return sees_jobs(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


# What an open page has read out when it has changed by itself.


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A sentence with the name of what the page is about, how that stands, and why.

    It is read out when its ``state`` is another one. If only its numbers are, it is read out once a minute at most.
    """

    text: str
    state: str


def _second(name: object) -> str:
    """Return that somebody was first, who did the same to what has this name."""
    return _("%(name)s: nothing was changed, somebody else was first.") % {"name": name}


def done(act: object, name: object) -> str:
    """Return that something was done to what has this name."""
    return _("%(act)s: %(name)s. Done.") % {"act": act, "name": name}


def nothing_to_do(state: object) -> tuple[str, SafeString]:
    """Return the code and the text of a page that has nothing to ask, since a row is in this state already."""
    return "nothing_to_do", format_html(_("Nothing can be done: {others}."), others=state)


def sentence(*parts: str) -> str:
    """Return the parts that say something, as sentences of one line."""
    said = (" ".join(part.split()) for part in parts if part and not part.isspace())
    return " ".join(part if part.endswith((".", "!", "?", "…")) else f"{part}." for part in said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that is wrong.

    ``code`` says in a word what; ``level`` is one of Django's message tags; ``advice`` is for those who run the
    system. ``links`` are words and addresses of pages that tell more, ``buttons`` those of pages that ask before they
    act. ``alarm`` is the key of the alarm that tells the same, or its rule where any of the rule does.
    """

    level: str
    code: str
    text: str
    advice: str = ""
    links: tuple[tuple[str, str], ...] = ()
    buttons: tuple[tuple[str, str], ...] = ()
    alarm: str = ""

    def is_told_by(self, keys: Iterable[str]) -> bool:
        """Return whether one of the open alarms, given by their keys, tells the same."""
        return bool(self.alarm) and any(f"{key}:".startswith(f"{self.alarm}:") for key in keys)


# A text input that offers values and takes others.


class DatalistInput(forms.TextInput):
    """A text input with a ``<datalist>``. ``offered`` are the values, or a function that returns them for each page."""

    def __init__(
        self, offered: Iterable[str] | Callable[[], Iterable[str]], attrs: dict[str, Any] | None = None
    ) -> None:
        super().__init__({"autocomplete": "off", **(attrs or {})})
        self.offered = offered

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        list_id = f"{(attrs or {}).get('id') or name}_offered"
        offered = self.offered() if callable(self.offered) else self.offered
        options = format_html_join("", '<option value="{}"></option>', ((item,) for item in offered))
        field = super().render(name, value, {**(attrs or {}), "list": list_id}, renderer)
        return format_html('{}<datalist id="{}">{}</datalist>', field, list_id, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """Something that helps: a link, or with ``fields`` a form that is sent to the address."""

    words: str
    url: str
    fields: Mapping[str, str] = field(default_factory=dict)


# The address of the websocket by which open pages hear of changes.


def socket_url(request: HttpRequest) -> str:
    """Return the address of the websocket; empty without a channel layer, where pages only ask by the clock."""
    if not getattr(settings, "CHANNEL_LAYERS", None):
        return ""
    return f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}{get_script_prefix()}ws/jobs/"


def tenant(job: Job) -> SafeString | str:
    """Return the id that the job's organization has now; beside that of a deleted one, that it is deleted.

    Another organization may have that id by now.
    """
    name = line(shown_id(job), 40)
    return format_html("{} <small>{}</small>", name, gettext("deleted")) if is_gone(job) else name
