"""Keeps django-rq's pages for system admins: they empty queues, stop workers, and show every tenant's tickets.

django-rq shows them to all staff, at the URLs that a host mounts and in the admin. Each of its views is wrapped here,
once: when its module is imported, or when the project's apps are ready if it was before. Whoever imports a view after
that gets the wrapped one, wherever it is mounted. A process that shows no page, such as a worker, imports none of them.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse

from django_jobs.broker import foreign_entries, rq_guard
from django_jobs.broker.first_imports import when_imported
from django_jobs.engine.access import get_policy

#: The attribute by which a system check knows a guarded view; `functools.wraps` copies it.
GUARDED: Final = "guarded_by_django_jobs"
#: Views that also accept the host's RQ_API_TOKEN, and check it themselves.
_WITH_TOKEN: Final = frozenset({"stats_json", "prometheus_metrics"})
#: How many bytes are shown of something that is no text.
MAX_SHOWN: Final = 100
_UNREADABLE: Final = """Redis holds something here that is no text in UTF-8, so this page cannot be shown.

Neither RQ nor django_jobs writes such a thing: see who may write to Redis. What waits in a queue of django_jobs is set
aside by its workers, and "manage.py jobs_check" tells of it. Anywhere else, remove it with redis-cli."""


def install() -> None:
    """Guard the views of django-rq; a second call changes nothing."""
    for name in ("django_rq.views", "django_rq.stats_views", "django_rq.cron_views"):
        when_imported(name, _guard_views)
    _guard_imported_urls()
    when_imported("django_rq.admin", _show_in_admin_index)


def is_system_admin(request: Any) -> bool:
    """Return whether the user of the request is a system admin by the access policy."""
    return bool(get_policy().is_system_admin(getattr(request, "user", AnonymousUser())))


def _guard_views(module: ModuleType) -> None:
    for name, view in _views_of(module):
        setattr(module, name, _for_system_admins(view))


def _views_of(module: ModuleType) -> list[tuple[str, Callable[..., Any]]]:
    """Return (name, function) of a module's views that are not wrapped yet: their first argument is a request."""
    found = inspect.getmembers(module, inspect.isfunction)
    return [
        (name, function)
        for name, function in found
        if function.__module__ == module.__name__
        and next(iter(inspect.signature(function).parameters), "") == "request"
        and name not in {"each_context", "rq_viewname", "is_authorized"}
        and not hasattr(function, GUARDED)
    ]


def _for_system_admins(view: Callable[..., Any]) -> Callable[..., Any]:
    has_token = view.__name__ in _WITH_TOKEN

    @functools.wraps(view)
    def guarded(request: Any, *args: Any, **kwargs: Any) -> Any:
        user = getattr(request, "user", None)
        if getattr(user, "is_authenticated", False) and not is_system_admin(request):
            if not has_token:
                raise PermissionDenied
            request.user = AnonymousUser()  # so that only the token counts
        with rq_guard.all_sanitized() if _may_show_ours(kwargs) else contextlib.nullcontext():
            try:
                return view(request, *args, **kwargs)
            except UnicodeDecodeError as error:
                return _unreadable(error)

    setattr(guarded, GUARDED, True)
    return guarded


def _unreadable(error: UnicodeDecodeError) -> HttpResponse:
    """Return the answer for an id that is not UTF-8. RQ decodes every id, and anybody may have written this one."""
    found = ascii(error.object[:MAX_SHOWN])
    response = HttpResponse(f"{_UNREADABLE}\n\nIt begins with {found}.\n", content_type="text/plain")
    response.status_code = 409
    return response


def _may_show_ours(kwargs: dict[str, Any]) -> bool:
    """Return whether the page may show one of our queues, which its URL names by a number.

    A page whose URL names no queue, such as that of a cron job, may show any queue: which one is written in Redis.
    """
    from django_rq.settings import get_queues_list

    index, queues = kwargs.get("queue_index", kwargs.get("scheduler_index")), get_queues_list()
    if index is None:
        return not foreign_entries.are_run()
    return isinstance(index, int) and 0 <= index < len(queues) and rq_guard.guards(queues[index]["name"])


def _guard_imported_urls() -> None:
    """Guard the URLs of a host that imported them before its apps were ready."""
    urls = sys.modules.get("django_rq.urls")
    for pattern in getattr(urls, "urlpatterns", ()):
        if not hasattr(pattern.callback, GUARDED):
            pattern.callback = _for_system_admins(pattern.callback)


def _show_in_admin_index(module: ModuleType) -> None:
    """Show the link in the admin's index only to those who may see the pages behind it."""

    def has_permission(_: Any, request: Any, *args: Any) -> bool:
        return is_system_admin(request)

    def changelist_view(_: Any, request: Any, **kwargs: Any) -> Any:
        from django_rq import stats_views

        return stats_views.stats(request)

    setattr(changelist_view, GUARDED, True)
    methods = {"has_module_permission": has_permission, "has_change_permission": has_permission}
    for name, method in {**methods, "changelist_view": changelist_view}.items():
        setattr(module.QueueAdmin, name, method)
