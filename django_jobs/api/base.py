"""What all views of this package have in common, whatever the host's settings of the REST framework are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections, transaction
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.views import APIView

from django_jobs.api import errors
from django_jobs.api.parsers import PARSERS, check_body
from django_jobs.api.renderers import JobsBrowsableAPIRenderer
from django_jobs.api.throttles import JobsThrottle


def non_atomic(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """Mark ``dispatch`` as non-atomic on every database; the view that is made of the class copies the mark.

    A class that has a ``dispatch`` of its own marks it, too.
    """
    for alias in connections:
        dispatch = transaction.non_atomic_requests(using=alias)(dispatch)
    return dispatch


class JobsView(APIView):
    """Authenticate as the host does, with errors, throttles and bounds of this package.

    A view is not atomic even under ``ATOMIC_REQUESTS``: the engine's transactions are short, and jobs go to the broker
    after each of them.
    """

    permission_classes = [IsAuthenticated]
    parser_classes = PARSERS

    @non_atomic
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)

    def throttle_scope_of(self, request: Any) -> str:
        """Return the name of the rate in ``THROTTLE_RATES`` that this request counts against."""
        raise NotImplementedError

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        check_body(request._request)  # noqa: SLF001  (here, because authentication may read a form)
        super().initial(request, *args, **kwargs)

    def get_throttles(self) -> list[Any]:
        return [*super().get_throttles(), JobsThrottle(self.throttle_scope_of(self.request))]

    def get_renderers(self) -> list[Any]:
        """Return the host's renderers; the plain browsable one is exchanged for one that knows jobs."""
        found: list[Any] = super().get_renderers()
        return [JobsBrowsableAPIRenderer() if type(item) is BrowsableAPIRenderer else item for item in found]

    def get_exception_handler(self) -> Any:
        return errors.answer
