"""Keeps RQ and django-rq, wherever they run in this project, from executing what is written in our queues."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import redis
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.checks import CheckMessage, Warning, register
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job as RQJob
from rq.job import JobStatus
from rq.queue import Queue as RQQueue
from rq.registry import BaseRegistry, ScheduledJobRegistry
from rq.serializers import DefaultSerializer
from rq.utils import now, str_to_date
from rq.worker import BaseWorker

from django_jobs import pools
from django_jobs.broker import queues
from django_jobs.broker.queues import are_foreign_run
from django_jobs.conf import jobs_settings
from django_jobs.engine.ports import ForeignEntry
from django_jobs.engine.scope import scope_of
from django_jobs.mounted_views import find_views
from django_jobs.statuses import Priority

logger = logging.getLogger("django_jobs")

# Calls a function once a module has been imported, so that nobody need import it only to change it.


Change = Callable[[ModuleType], object]


class _Loader(Loader):
    """Loads one module as its own loader does, and changes it then."""

    def __init__(self, own: Any, change: Change) -> None:
        self._own = own
        self._change = change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        self._change(module)

    def __getattr__(self, name: str) -> Any:
        """Return what else the loader has, as the source that tracebacks show."""
        return getattr(self._own, name)


class _Finder(MetaPathFinder):
    """Finds the modules that are to be changed as the other finders do, and changes each when its code has run."""

    def __init__(self) -> None:
        self.changes: dict[str, Change] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        change = self.changes.get(fullname)
        spec = _found_by_others(fullname, path, target) if change is not None else None
        if change is not None and spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, change)
        return spec


def _found_by_others(fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """Ask the finders in their order: that of Python's path, and those of tools, as for editable installs."""
    others = [finder for finder in sys.meta_path if finder is not _finder and hasattr(finder, "find_spec")]
    specs = (finder.find_spec(fullname, path, target) for finder in others)
    return next((spec for spec in specs if spec is not None), None)


_finder = _Finder()


def when_imported(name: str, change: Change) -> None:
    """Call ``change`` with the module of this name: now if it has been imported, else at its first import."""
    _finder.changes[name] = change
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    if name in sys.modules:
        change(sys.modules[name])


# RQ's job objects for the entries of our queues, which execute nothing that is written in Redis.
#
# RQ unpickles a job's arguments, metadata and results, and imports the functions that its hash names, in every process
# that looks at it: a worker, a page of django-rq, a command. With an entry of our queues it does none of that. Of the
# entry's hash only times, names and the status are read, and each of them only where its value is a valid one.


#: Shown instead of what is not read.
UNREAD: Final = "(not read: it is no ticket of django_jobs)"
MAX_TEXT_BYTES: Final = 500


class WriteOnlySerializer:
    """Writes as RQ does by default, and reads nothing."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return bytes(DefaultSerializer.dumps(value))

    @staticmethod
    def loads(_: bytes) -> Any:
        return UNREAD


class SanitizedJob:
    """Mixed into the RQ job class of an entry of ours, so that it shows no code and no results."""

    def results(self) -> list[Any]:
        return []

    def latest_result(self, timeout: int = 0) -> None:
        return None

    def return_value(self, refresh: bool = False) -> None:
        return None

    def get_meta(self, refresh: bool = True) -> dict[str, Any]:
        return {}

    def _fetch_status(self) -> JobStatus:
        try:
            return JobStatus(super()._fetch_status())  # type: ignore[misc]
        except ValueError:  # it is no status of RQ's, or no text
            return JobStatus.CREATED

    @property
    def exc_info(self) -> None:
        return None

    @property
    def result(self) -> None:
        return None


def restore_sanitized(job: RQJob, raw: Mapping[Any, Any], restore: Callable[[RQJob, Any], Any]) -> None:
    """Restore an RQ job from its hash without anything that could be executed; ``restore`` is RQ's own method.

    A ticket then calls the one function that all our tickets call, and anything else a name that cannot be imported.
    """
    job.__class__ = _sanitized_class(cast("Any", type(job)))
    job.serializer = WriteOnlySerializer
    restore(job, _readable(raw))
    job.func_name = UNREAD if queues.is_foreign(job.id) else queues.ENTRY
    job.instance, job.args, job.kwargs = None, [], {}
    job.description = job.func_name
    job.timeout, job.result_ttl = -1, 0
    job.enqueued_at = job.enqueued_at or job.created_at  # django-rq's pages expect that everything has one


@functools.cache
def _sanitized_class(kind: Any) -> Any:
    return kind if issubclass(kind, SanitizedJob) else type(kind.__name__, (SanitizedJob, kind), {})


def _readable(raw: Mapping[Any, Any]) -> dict[bytes, bytes]:
    """Return the fields of the hash that may be read. Without ``data`` there is no job, as RQ itself then says."""
    given = {key: value for key, value in raw.items() if isinstance(key, bytes) and isinstance(value, bytes)}
    kept = {name: given[name] for name, is_fine in _READ.items() if name in given and _passes(is_fine, given[name])}
    return {**kept, **({b"data": queues.DATA} if b"data" in given else {})}


def _passes(is_fine: Callable[[bytes], object], value: bytes) -> bool:
    if len(value) > MAX_TEXT_BYTES:
        return False
    with contextlib.suppress(ValueError, OverflowError):
        is_fine(value)
        return True
    return False


_READ: Final[dict[bytes, Callable[[bytes], object]]] = {
    **dict.fromkeys((b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat"), str_to_date),
    **dict.fromkeys((b"origin", b"worker_name"), bytes.decode),
    b"status": lambda value: JobStatus(value.decode()),
}


# Keeps RQ and django-rq, wherever they run in this project, from executing what is written in our queues.
#
# RQ has no setting for that: its registries and workers unpickle whatever their queues' entries hold, and django-rq's
# pages and commands do the same. So the few methods through which all of it passes are wrapped, once, when the
# project's apps are ready. The host's own queues stay as they are. So do ours where ``FOREIGN_RQ_JOBS`` is ``"run"``,
# except that our tickets are sanitized there too.


_GUARDED: Final = "guarded_by_django_jobs"
_sanitizes_all: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("django_jobs_sanitizes_all", default=False)


def guards(queue: str) -> bool:
    """Return whether nothing that this queue's entries hold may be executed."""
    return queue in pools.queue_names() and not queues.are_foreign_run()


@contextlib.contextmanager
def all_sanitized() -> Iterator[None]:
    """Sanitize whatever RQ reads inside the block, in whatever queue it lies."""
    token = _sanitizes_all.set(True)
    try:
        yield
    finally:
        _sanitizes_all.reset(token)


def install_guard() -> None:
    """Wrap the methods by which RQ reads our queues; a second call changes nothing."""
    if hasattr(RQJob.restore, _GUARDED):
        return
    _wrap(RQJob, "restore", _restore)
    _wrap(RQQueue, "__init__", _mark_by_name)
    _wrap(BaseRegistry, "__init__", _mark_by_name)
    _wrap(BaseWorker, "get_current_job", _get_current_job)
    _wrap(BaseWorker, "run_maintenance_tasks", _run_maintenance_tasks)
    _wrap(RQQueue, "lpop", _lpop)
    _wrap(RQQueue, "lmove", _lmove)
    _wrap(ScheduledJobRegistry, "get_jobs_to_schedule", _get_jobs_to_schedule)


def _wrap(owner: type, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
    original = vars(owner)[name]
    is_classmethod = isinstance(original, classmethod)
    function = original.__func__ if is_classmethod else original
    wrapped = functools.wraps(function)(make(function))
    setattr(wrapped, _GUARDED, True)
    setattr(owner, name, classmethod(wrapped) if is_classmethod else wrapped)


def _restore(original: Callable[..., Any]) -> Callable[..., Any]:
    def restore(self: RQJob, raw_data: Any) -> Any:
        if _sanitizes_all.get() or self.serializer is WriteOnlySerializer or not queues.is_foreign(self.id):
            return restore_sanitized(self, raw_data, original)
        return original(self, raw_data)

    return restore


def _mark_by_name(original: Callable[..., Any]) -> Callable[..., Any]:
    """Give queues and registries of ours a serializer that reads nothing; each job that they read gets it too."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        if guards(getattr(self, "name", "")):
            self.serializer = WriteOnlySerializer

    return __init__


def _get_current_job(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_current_job(self: BaseWorker) -> Any:
        if not any(guards(queue.name) for queue in self.queues):
            return original(self)
        with all_sanitized():
            return original(self)

    return get_current_job


def _run_maintenance_tasks(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a worker alive when RQ fails at tidying its registries and groups because of what somebody wrote there."""

    def run_maintenance_tasks(self: BaseWorker) -> None:
        try:
            original(self)
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            raise
        except Exception as error:
            if not any(guards(queue.name) for queue in self.queues):
                raise
            logger.warning("event=rq_maintenance_failed worker=%s error=%r", self.name, error)
            setattr(self, "last_cleaned_at", now())  # noqa: B010  (RQ types it as None)

    return run_maintenance_tasks


def _lpop(original: Callable[..., Any]) -> Callable[..., Any]:
    """Set foreign entries aside, so that a plain ``rqworker`` gets only tickets from our queues, and every one."""

    def lpop(cls: type[RQQueue], queue_keys: Sequence[str], timeout: int | None, connection: Any = None) -> Any:
        while (found := original(cls, queue_keys, timeout, connection=connection)) is not None:
            if not (entry := _foreign(*found)):
                _complete(connection, *found)
                return found
            queues.set_aside(connection, [entry])
        return None

    return lpop


def _lmove(original: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same for a worker of a single queue, which also keeps in a second list what it pops."""

    def lmove(cls: type[RQQueue], connection: Any, queue_key: str, timeout: int | None) -> Any:
        while (found := original(cls, connection, queue_key, timeout)) is not None:
            if not (entry := _foreign(*found)):
                _complete(connection, *found)
                return found
            connection.lrem(IntermediateQueue.get_intermediate_queue_key(queue_key), 1, found[1])
            queues.set_aside(connection, [entry])
        return None

    return lmove


def _get_jobs_to_schedule(original: Callable[..., Any]) -> Callable[..., Any]:
    """Hide our queues from RQ's scheduler, which would read jobs without their queue: we schedule nothing there."""

    def get_jobs_to_schedule(self: ScheduledJobRegistry, *args: Any, **kwargs: Any) -> list[str]:
        return [] if guards(self.name) else list(original(self, *args, **kwargs))

    return get_jobs_to_schedule


def _foreign(queue_key: str | bytes, entry: str | bytes) -> ForeignEntry | None:
    """Return the entry if it must not be run."""
    found = _parse(queue_key, entry)
    return found if guards(found.queue) and queues.is_foreign(found.id) else None


def _complete(connection: Any, queue_key: str | bytes, entry: str | bytes) -> None:
    """Let RQ find the hash of a ticket of ours, of which nothing but the id matters."""
    found = _parse(queue_key, entry)
    if found.queue in pools.queue_names() and not queues.is_foreign(found.id):
        queues.complete(connection, found.queue, found.id)


def _parse(queue_key: str | bytes, entry: str | bytes) -> ForeignEntry:
    key = queue_key if isinstance(queue_key, str) else queues.as_id(queue_key)
    entry_id = entry if isinstance(entry, str) else queues.as_id(entry)
    return ForeignEntry(key.removeprefix(RQQueue.redis_queue_namespace_prefix), entry_id)


# Keeps django-rq's pages for system admins: they empty queues, stop workers, and show every tenant's tickets.
#
# django-rq shows them to all staff, at the URLs that a host mounts and in the admin. Each of its views is wrapped here,
# once: when its module is imported, or when the project's apps are ready if it was before. Whoever imports a view after
# that gets the wrapped one, wherever it is mounted. A process that shows no page, such as a worker, imports none of
# them.


#: The attribute by which a system check knows a guarded view; `functools.wraps` copies it.
GUARDED: Final = "guarded_by_django_jobs"
#: Views that also accept the host's RQ_API_TOKEN, and check it themselves.
_WITH_TOKEN: Final = frozenset({"stats_json", "prometheus_metrics"})
#: How many bytes are shown of something that is no text.
MAX_SHOWN: Final = 100
_UNREADABLE: Final = """Redis holds something here that is no text in UTF-8, so this page cannot be shown.

Neither RQ nor django_jobs writes such a thing: see who may write to Redis. What waits in a queue of django_jobs is set
aside by its workers, and "manage.py jobs_check" tells of it. Anywhere else, remove it with redis-cli."""


def install_pages() -> None:
    """Guard the views of django-rq; a second call changes nothing."""
    for name in ("django_rq.views", "django_rq.stats_views", "django_rq.cron_views"):
        when_imported(name, _guard_views)
    _guard_imported_urls()
    when_imported("django_rq.admin", _show_in_admin_index)


def is_system_admin(request: Any) -> bool:
    """Return whether the user of the request is a system admin by the access policy."""
    return scope_of(request).is_system_admin


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
        with all_sanitized() if _may_show_ours(kwargs) else contextlib.nullcontext():
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
        return not are_foreign_run()
    return isinstance(index, int) and 0 <= index < len(queues) and guards(queues[index]["name"])


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


# Checks that our queues are in one Redis database, and that not all staff see django-rq's pages.


@register("django_jobs")
def check_one_redis(**kwargs: Any) -> list[CheckMessage]:
    """Warn of a queue in another Redis database than the Normal one, whose connection is used for all of them."""
    given, queues = getattr(settings, "RQ_QUEUES", None), jobs_settings.QUEUES
    if not isinstance(queues, Mapping) or not all(isinstance(name, str) for name in queues.values()):
        return []  # as another check says
    normal = queues.get(Priority.NORMAL.word)
    entries = given.items() if isinstance(given, Mapping) else ()
    configured = {name: config for name, config in entries if isinstance(config, Mapping)}
    if normal not in configured:
        return []
    place = _place(configured[normal])
    ours = [*queues.values(), *(name for pool in pools.configured() for name in pools.queue_names(pool))]
    return [
        Warning(
            f"RQ_QUEUES has {name!r} in another Redis database than {normal!r}, whose connection serves all of ours.",
            hint="Give all queues of ours the same connection; of the others only RQ's own tools would take notice.",
            id="django_jobs.W012",
        )
        for name in ours
        if name in configured and _place(configured[name]) != place
    ]


@register("django_jobs")
def check_django_rq_pages(**kwargs: Any) -> list[CheckMessage]:
    """Warn of pages of django-rq that our guard did not find."""
    pages = [view for view in find_views() if str(getattr(view, "__module__", "")).partition(".")[0] == "django_rq"]
    unguarded = sorted({view.__name__ for view in pages if not hasattr(view, GUARDED)})
    if not unguarded:
        return []
    return [
        Warning(
            f"django-rq's pages are open to every staff user: {', '.join(unguarded[:5])}.",
            hint=(
                "They empty queues and stop workers. django_jobs guards the views that it finds in django-rq; these it "
                "did not find. Unmount them, or wrap them in a check that asks the access policy's is_system_admin."
            ),
            id="django_jobs.W013",
        )
    ]


def _place(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the server and the database of a queue's connection, in django-rq's order of precedence."""
    database = str(config.get("DB") or 0)
    if config.get("URL"):
        return _place_of_url(str(config["URL"]), database)
    if "USE_REDIS_CACHE" in config:
        return ("cache", str(config["USE_REDIS_CACHE"]))
    if "UNIX_SOCKET_PATH" in config:
        return (str(config["UNIX_SOCKET_PATH"]), database)
    if "SENTINELS" in config:
        return (str(config["SENTINELS"]), str(config.get("MASTER_NAME")), database)
    return (_host(config.get("HOST")), str(config.get("PORT") or 6379), database)


def _place_of_url(url: str, database: str) -> tuple[str, ...]:
    try:
        parts = urlsplit(url)
        named = parse_qs(parts.query).get("db", [""])[0]
        if parts.scheme == "unix":
            return (parts.path, named or database)
        return (_host(parts.hostname), str(parts.port or 6379), named or parts.path.strip("/") or database)
    except ValueError:  # it is no URL, as the first connection will say
        return (url,)


def _host(name: str | None) -> str:
    return "127.0.0.1" if name in {None, "", "localhost"} else str(name)
