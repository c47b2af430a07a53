"""Finding the function that a handler's dotted path names, and which functions may run."""

from __future__ import annotations

import datetime as dt
import importlib
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec
from typing import Final

from django.apps import apps
from django.db.models import F, OuterRef, QuerySet, Subquery

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.claimed_job import Handler
from django_jobs.engine.store import database
from django_jobs.engine.store.values import waits_since_of
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import LogReason, Status
from django_jobs.texts import code_of, say

logger = logging.getLogger("django_jobs")

#: How the message of HandlerNotLoadable begins.
NOT_LOADABLE: Final = "Handler not loadable"


#: How the handler of a type begins that runs a task of Django's interface; behind it comes ``:`` and the task's path.
TASK_SCHEME: Final = "task"
#: How the names of the types begin that the backend of Django's interface makes for its tasks.
TASK_PREFIX: Final = f"{TASK_SCHEME}:"


class HandlerNotAllowed(Exception):
    """The path names code that jobs may not run."""

    code = "handler_not_allowed"


class HandlerNotLoadable(Exception):
    """This process cannot import the handler; another release may."""

    code = "handler_not_loadable"


def allowed_modules() -> tuple[str, ...]:
    """Return the modules whose functions may be handlers; modules below them count too."""
    own = tuple(f"{config.name}.jobs" for config in apps.get_app_configs())
    return own + tuple(jobs_settings.HANDLER_MODULES)


def is_allowed_module(name: str) -> bool:
    """Return whether functions of this module may be handlers."""
    return any(name == module or name.startswith(module + ".") for module in allowed_modules())


def resolve_handler(path: str) -> Handler:
    """Return the function that ``path`` names.

    Raises HandlerNotAllowed for code outside the allowed modules and HandlerNotLoadable when it cannot be imported, or
    when there is no such module: then it may be that of an app which only a newer release has.
    """
    key = _key(path)
    if key not in _loaded:
        _loaded[key] = _resolve(path)
    return _loaded[key]


def loaded_handler(path: str) -> Handler | None:
    """Return the function that ``path`` names if this process has resolved it before; nothing is imported."""
    return _loaded.get(_key(path))


#: Functions for each setting of HANDLER_MODULES. Refusals are not remembered: a module may be mended.
_loaded: Final[dict[tuple[str, tuple[str, ...]], Handler]] = {}


def _key(path: str) -> tuple[str, tuple[str, ...]]:
    return path, tuple(jobs_settings.HANDLER_MODULES)


#: Who finds handlers that are named in another way than by the path of a function.
_schemes: Final[dict[str, Callable[[str], Handler]]] = {}


def add_scheme(name: str, find: Callable[[str], Handler]) -> None:
    """Let ``find`` find the handlers of paths that begin with ``name:``, by what follows that.

    It raises HandlerNotAllowed and HandlerNotLoadable, as :func:`resolve_handler` does.
    """
    _schemes[name] = find


def has_scheme(path: str) -> bool:
    """Return whether a handler is named in another way than by the path of a function."""
    return path.partition(":")[0] in _schemes


def _resolve(path: str) -> Handler:
    if has_scheme(path):
        scheme, _, rest = path.partition(":")
        return _schemes[scheme](rest)
    module_name, _, _ = path.rpartition(".")
    if not module_name:
        raise HandlerNotAllowed(say("%(path)r is not a dotted path of a function.", code="not_a_path", path=path))
    if not is_allowed_module(module_name):
        if not _is_there(module_name):
            text = f"{NOT_LOADABLE}: %(path)s (no module %(module)s)."
            raise HandlerNotLoadable(say(text, code="handler_not_loadable", path=path, module=module_name))
        accepted = "the `jobs` module of an installed app, or a module of DJANGO_JOBS['HANDLER_MODULES']"
        text = f"%(path)s is outside the allowed modules; a handler lies in {accepted}."
        raise HandlerNotAllowed(say(text, code="handler_not_allowed", path=path))
    handler = _load(path)
    home = getattr(handler, "__module__", "") or ""
    if not is_allowed_module(home):
        text = "%(path)s is defined in %(module)s, which is no allowed module."
        raise HandlerNotAllowed(say(text, code="handler_not_allowed", path=path, module=home))
    return handler


def _is_there(module_name: str) -> bool:
    """Return whether this process could import a module; nothing is imported to find out, parents neither.

    Where that cannot be told, as of a package that finds its parts by code of its own, the answer is no.
    """
    name, places = "", None
    for part in module_name.split("."):
        name = f"{name}.{part}" if name else part
        if name in sys.modules:
            places = getattr(sys.modules[name], "__path__", ())
            continue
        spec = _find(name, places)
        if spec is None:
            return False
        places = spec.submodule_search_locations or ()
    return True


def _find(name: str, places: Iterable[str] | None) -> ModuleSpec | None:
    """Return where a module lies, as Python's own finders say; ``places`` are its parent's, None at the top."""
    try:
        within = None if places is None else list(places)
        found = (finder.find_spec(name, within, None) for finder in sys.meta_path)
        return next(filter(None, found), None) if within is None or within else None
    except Exception:  # noqa: BLE001  (a namespace package within another one cannot be asked before it is imported)
        return None


def _load(path: str) -> Handler:
    module_name, _, name = path.rpartition(".")
    try:
        handler = getattr(importlib.import_module(module_name), name)
    except (Exception, SystemExit) as error:
        logger.warning("event=handler_not_loadable handler=%s error=%r", path, error)
        text = f"{NOT_LOADABLE}: %(path)s (%(error)s)."
        raise HandlerNotLoadable(
            say(text, code="handler_not_loadable", path=path, error=type(error).__name__)
        ) from error
    if not callable(handler) or isinstance(handler, type):
        raise HandlerNotAllowed(say("%(path)s is not a function.", code="not_a_function", path=path))
    return handler  # type: ignore[no-any-return]


def entered_path_problem(path: str) -> str | None:
    """Return what is wrong with a path that a person typed, who must not have any module imported; None if nothing."""
    module_name = path.partition(":")[2].rpartition(".")[0]
    if has_scheme(path) and module_name not in sys.modules and not _is_of_app(module_name):
        text = "%(path)s is outside the installed apps and not loaded here."
        return say(text, code="outside_apps", path=path)
    return path_problem(path)


def _is_of_app(module_name: str) -> bool:
    names = [config.name for config in apps.get_app_configs()]
    return is_allowed_module(module_name) or any(f"{module_name}.".startswith(f"{name}.") for name in names)


def path_problem(path: str) -> str | None:
    """Return what is wrong with a handler's path, for the person who typed it; None when nothing is."""
    try:
        resolve_handler(path)
    except (HandlerNotAllowed, HandlerNotLoadable) as error:
        return say(str(error), code=code_of(error.args[0], error.code))
    return None


# Jobs that wait for a worker which can load their handler, as after an incomplete deployment.
#
# A worker that cannot load a handler puts the job back and says so in the Execution Log. Nothing else tells of it, so
# the job is recognized by its last row there.


#: Such jobs that are looked for at most.
MAX_FOUND: Final = 500


def unloadable_reasons(jobs: Sequence[Job]) -> dict[int, str]:
    """Return what the worker said of those of these jobs whose handler it could not load, by primary key.

    It names the handler's path, which is for system admins.
    A statement is made only where one of them may be such a job: Pending, and ready at a moment that its submission
    does not explain.
    """
    return _said([job.pk for job in jobs if _may_have_been_put_back(job)])


def find_unloadable() -> dict[int, str]:
    """Return the same for the jobs that wait now, up to MAX_FOUND; one pass over the backlog."""
    now = database.now()
    rows: QuerySet[Job] = Job.primary.order_by().filter(status=Status.PENDING)
    until = now + dt.timedelta(seconds=timing.NOT_LOADABLE_RETRY_SECONDS)
    rows = rows.filter(ready_at__gt=now, ready_at__lte=until).exclude(run_at=F("ready_at"), run_at__isnull=False)
    return _said(list(rows.values_list("pk", flat=True)[:MAX_FOUND]))


def _may_have_been_put_back(job: Job) -> bool:
    is_ready = job.status == Status.PENDING and job.ready_at is not None
    return is_ready and job.queued_at is None and waits_since_of(job) not in {job.created_at, job.run_at}


def _said(pks: Sequence[int]) -> dict[int, str]:
    if not pks:
        return {}
    logs = ExecutionLog.primary.filter(job_id=OuterRef("pk")).order_by("-id")
    rows = Job.primary.filter(pk__in=pks).order_by()
    last = rows.annotate(
        reason=Subquery(logs.values("reason")[:1]),
        message=Subquery(logs.values("message")[:1]),
        detail=Subquery(logs.values("traceback")[:1]),
    )
    not_loadable = last.filter(reason=LogReason.NOT_LOADABLE)
    return {pk: detail or message for pk, message, detail in not_loadable.values_list("pk", "message", "detail")}
