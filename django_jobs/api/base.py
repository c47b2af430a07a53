"""What all views share: who is asking, how often they may ask."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from django.core.cache import caches
from django.db import connections, transaction
from django.db.models import Model
from rest_framework.authentication import SessionAuthentication, TokenAuthentication, get_authorization_header
from rest_framework.exceptions import Throttled
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.reverse import reverse
from rest_framework.status import is_success
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from django_jobs.api import errors
from django_jobs.api.errors import SafeJSONParser, check_body
from django_jobs.api.fields import NothingSerializer, check_parameters
from django_jobs.conf import jobs_settings
from django_jobs.engine.access import unknown_organization
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.engine.sockets import ANOTHER, SESSION, TOKEN, Credential
from django_jobs.exceptions import InvalidSubmission

# Organizations that a request names.


def check_organization(name: str, scope: Scope) -> None:
    """Raise InvalidSubmission for an organization that the user may not know of, as if there were none."""
    if not scope.organizations_named([name]):
        raise InvalidSubmission({"organization": [unknown_organization(name)]})


# The browsable pages: links beside the answers.


class JobsBrowsableAPIRenderer(BrowsableAPIRenderer):
    """Adds links: of a list to its rows; of a job or a batch to the jobs that it names."""

    template = "django_jobs/api/page.html"

    def get_context(self, data: Any, accepted_media_type: Any, renderer_context: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        view = renderer_context["view"]
        has_links = isinstance(data, dict) and is_success(view.response.status_code)
        return context | {"links": _links(view, data) if has_links else []}


def _links(view: Any, answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Return where an answer leads to, by its text."""
    key = view.lookup_field
    rows = [row for row in answer.get("results", [answer]) if key in row]
    links = [(str(row[key]), view.reverse_action("detail", kwargs={key: row[key]})) for row in rows]
    named = [*(answer.get("depends_on") or ()), answer.get("then_job"), answer.get("on_failure_job")]
    links += [(job_id, view.address_of("job-detail", job_id=job_id)) for job_id in named if job_id]
    if "batch_id" in answer:
        jobs = f"{view.address_of('job-list')}?batch={answer['batch_id']}"
        links.append((jobs, jobs))
    return links


# What all views of this package have in common, whatever the host's settings of the REST framework are.


def non_atomic(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """Mark ``dispatch`` as non-atomic on every database; the view that is made of the class copies the mark.

    A class that has a ``dispatch`` of its own marks it, too.
    """
    for alias in connections:
        dispatch = transaction.non_atomic_requests(using=alias)(dispatch)
    return dispatch


class ViewCall(NamedTuple):
    """An action of a view: its rate in ``THROTTLE_RATES``, and the serializers of what goes in and out.

    ``takes`` reads the body, ``query`` the parameters of the address; ``answers`` are those of success, by status.
    """

    rate: str = "status"
    takes: Any = None
    answers: Mapping[Any, Any] = {}
    query: Any = None


class JobsView(APIView):
    """Authenticate as the host does, with errors, throttles and bounds of this package.

    A view is not atomic even under ``ATOMIC_REQUESTS``: the engine's transactions are short, and jobs go to the broker
    after each of them.
    """

    permission_classes = [IsAuthenticated]
    parser_classes: Any = (SafeJSONParser, FormParser, MultiPartParser)
    call: ViewCall

    @non_atomic
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        check_body(request._request)  # noqa: SLF001  (here, because authentication may read a form)
        super().initial(request, *args, **kwargs)

    def get_throttles(self) -> list[Any]:
        return [*super().get_throttles(), JobsThrottle(self.call.rate)]

    def get_renderers(self) -> list[Any]:
        """Return the host's renderers; the plain browsable one is exchanged for one that knows jobs."""
        found: list[Any] = super().get_renderers()
        return [JobsBrowsableAPIRenderer() if type(item) is BrowsableAPIRenderer else item for item in found]

    def get_exception_handler(self) -> Any:
        return errors.answer


# Who may use a route at all. The engine decides what may be done to a single job.


class SystemAdminOrReadOnly(BasePermission):
    """Let everybody read, and system admins write."""

    message = "Only system admins may change job types."

    def has_permission(self, request: Any, view: Any) -> bool:
        return request.method in SAFE_METHODS or scope_of(request).is_system_admin


# How a request was authenticated: a ticket for a websocket ends with the session or token that asked for it.


def credential_of(request: Any) -> Credential:
    """Return the session or the token that authenticated the request; ANOTHER for any other way (Basic, JWT, …)."""
    way = request.successful_authenticator
    if isinstance(way, SessionAuthentication):
        get_hash = getattr(request.user, "get_session_auth_hash", str)
        return Credential(SESSION, request._request.session.session_key or "", get_hash())  # noqa: SLF001
    key = _key_of(request, way) if isinstance(way, TokenAuthentication) else ""
    return Credential(TOKEN, f"{way.keyword} {key}") if key else ANOTHER


def _key_of(request: Any, way: TokenAuthentication) -> str:
    """Return the token in the request's header, or the key of the token's row where a subclass reads it elsewhere."""
    keyword, _, key = get_authorization_header(request).decode("latin-1").strip().partition(" ")
    return key.strip() if keyword.lower() == way.keyword.lower() else str(getattr(request.auth, "key", ""))


# What the views of jobs and those of batches have in common: each reaches rows by their ids.


M = TypeVar("M", bound=Model)


class RowsView(JobsView, GenericViewSet[M]):
    """Reaches rows by an id, below a prefix that may have parameters of its own.

    Its methods accept any parameters of the address for that reason.
    """

    lookup_value_regex = "[^/]+"
    #: By action. What is not here reads one row, and counts as "status".
    calls: ClassVar[Mapping[str, ViewCall]] = {}

    @property
    def call(self) -> ViewCall:  # type: ignore[override]
        """What the action of this method is: a page shows the form of the POST to its address."""
        method = str(getattr(self.request, "method", "")).lower()
        return self.calls.get((self.action_map or {}).get(method, ""), ViewCall())

    def get_serializer_class(self) -> Any:
        """Return the serializer of what a call takes."""
        return self.call.takes or NothingSerializer

    def get_parameters(self) -> dict[str, Any]:
        """Return the parameters of the address but for blank ones. ValidationError for unknown or repeated ones."""
        given, kind = self.request.query_params, self.call.query or NothingSerializer
        fields = kind().fields
        check_parameters(given, [*fields, *getattr(self.pagination_class, "parameters", ()), "format"])
        serializer = kind(data={name: value for name, value in given.items() if value and name in fields})
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def reverse_action(self, url_name: str, *args: Any, **kwargs: Any) -> str:
        """Return the address of another route below the same prefix."""
        prefix = {name: value for name, value in self.kwargs.items() if name != self.lookup_field}
        return str(super().reverse_action(url_name, *args, **{**kwargs, "kwargs": prefix | kwargs.get("kwargs", {})}))

    def address_of(self, url_name: str, **kwargs: Any) -> str:
        """Return the address of a route of other rows, such as ``job-list``, below the same prefix."""
        prefix = {name: value for name, value in self.kwargs.items() if name != self.lookup_field}
        match: Any = self.request.resolver_match
        return str(reverse(f"{match.namespace}:{url_name}", request=self.request, kwargs=prefix | kwargs))

    def get_body(self, instance: Any = None, **options: Any) -> dict[str, Any]:
        """Return the fields of the body. ValidationError for wrong ones, and those that a call does not take."""
        serializer = self.get_serializer(instance, data=self.request.data, **options)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


# How often a user may call, by kind of request.


logger = logging.getLogger("django_jobs")

RATES: Final = {
    "submit": "100/min",
    "submit_items": "3000/min",
    "status": "600/min",
    "list": "60/min",
    "search": "10/min",
    "cancel": "30/min",
    "metrics": "30/min",
}


class JobsThrottle(SimpleRateThrottle):
    """Hold one user, or one address of anonymous callers, to the rate of a scope.

    None as the rate in ``THROTTLE_RATES`` lifts it. When the cache fails, requests pass and a warning is logged.
    """

    cache_format = "django_jobs_throttle_%(scope)s_%(ident)s"

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.cache = caches["default"]
        super().__init__()

    def get_rate(self) -> Any:
        return {**RATES, **jobs_settings.THROTTLE_RATES}[str(self.scope)]

    def get_cache_key(self, request: Any, view: Any) -> str:
        user = request.user
        ident = f"user-{user.pk}" if user and user.is_authenticated else self.get_ident(request)
        return str(self.cache_format % {"scope": self.scope, "ident": ident})

    def allow_request(self, request: Any, view: Any) -> bool:
        try:
            return bool(super().allow_request(request, view))
        except Exception as error:  # noqa: BLE001  (whatever the host's cache raises)
            logger.warning("event=throttle_failed scope=%s error=%r", self.scope, error)
            return True


def count_search(request: Any) -> None:
    """Count a request whose filter no index serves. Raises Throttled where the user has made too many."""
    throttle = JobsThrottle("search")
    if not throttle.allow_request(request, None):
        raise Throttled(throttle.wait())


class ItemsThrottle(JobsThrottle):
    """Hold a user to a rate of items, of which one request may bring many: all of them pass, or none is counted."""

    num_requests: int | None
    duration: float
    history: list[float]
    now: float

    def __init__(self, scope: str, items: int) -> None:
        super().__init__(scope)
        self.items = items

    @property
    def max_items(self) -> int | None:
        """Return how many items one request may bring at most; None when there is no bound."""
        return self.num_requests

    @property
    def _excess(self) -> int:
        """How many of the items that were counted must be too old before there is room for these."""
        return len(self.history) + self.items - int(self.num_requests or 0)

    def throttle_success(self) -> bool:
        if self._excess > 0:
            return False
        self.history = [self.now] * self.items + self.history
        self.cache.set(self.key, self.history, self.duration)
        return True

    def wait(self) -> float:
        return self.duration - (self.now - self.history[-self._excess])
