"""What saved filters of the jobs list ask for, in words of the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import ValidationError
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.base import keys_of
from django_jobs.engine.access import organizations_seen_by
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.schedules.definitions import visible_schedules
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import id_of
from django_jobs.models import SavedFilter, get_organization_model

SEARCHED: Final[Any] = gettext_lazy("search")
#: The filters whose choices are the same for everybody, whatever is stored.
FIXED: Final = ("status", "priority", "created", "error")


class FilterWords:
    """Tells saved filters of one page of this admin class.

    The names of organizations and schedules, of which a filter keeps the keys, are read in two statements for all.
    """

    def __init__(self, request: HttpRequest, model_admin: Any, found: Collection[SavedFilter]) -> None:
        self._request = request
        filters = {getattr(kind, "parameter_name", ""): kind for kind in model_admin.get_list_filter(request)}
        self._titles = {name: kind.title for name, kind in filters.items() if name}
        self._choices = {
            name: dict(filters[name](request, {}, model_admin.model, model_admin).lookup_choices)
            for name in FIXED
            if name in filters
        }
        asked = [QueryDict(item.query) for item in found]
        readers: dict[str, Callable[[Collection[str]], Mapping[str, str]]] = {
            "organization": self._organizations,
            "schedule": self._schedules,
        }
        self._names = {
            name: read({query[name] for query in asked if query.get(name)}) for name, read in readers.items()
        }

    def told(self, item: SavedFilter) -> str:
        """Return what a saved filter asks for, as labels and values."""
        return " · ".join(
            f"{self._label(name)}: {self._value(name, value)}" for name, value in QueryDict(item.query).dict().items()
        )

    def _label(self, name: str) -> str:
        if name == SEARCH_VAR:
            return str(SEARCHED)
        return str(self._titles.get(name, name))

    def _value(self, name: str, value: str) -> str:
        if name in self._names:
            return self._names[name].get(value) or _("(not there any more)")
        return str(self._choices.get(name, {}).get(value, value))

    def _organizations(self, keys: Collection[str]) -> Mapping[str, str]:
        model = get_organization_model()
        seen = organizations_seen_by(self._request.user)
        rows = database.rows(model) if seen is None else seen
        pks = [pk for key in keys if (pk := _key(model, key)) is not None]
        return {str(item.pk): id_of(item) for item in rows.filter(pk__in=pks)} if pks else {}

    def _schedules(self, keys: Collection[str]) -> Mapping[str, str]:
        pks = keys_of(keys)
        rows = visible_schedules(self._request.user).filter(pk__in=pks) if pks else ()
        return {str(item.pk): str(item) for item in rows}


def _key(model: Any, text: str) -> Any:
    """Return the key that a text stands for; None where no row can have it."""
    try:
        return model._meta.pk.clean(text, None) if is_storable_text(text) else None
    except ValidationError:
        return None
