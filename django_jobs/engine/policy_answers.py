"""Which answers of a host's access policy count. Any other answer is a failure of the policy, and decides nothing.

Python takes a text, a coroutine, or a method without its parentheses for true; and the keys of another model's rows may
be keys of organizations. Taken for answers, they would open what the policy meant to close. Nor does an answer count
that comes later than POLICY_SECONDS: nobody waits for it.
"""

from __future__ import annotations

import inspect
import math
import numbers
import operator
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar

from django.db import Error
from django.db.models import QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine.deadlines import Late, TimeLimit
from django_jobs.exceptions import PolicyFailed
from django_jobs.models import Job, get_organization_model
from django_jobs.texts import say

T = TypeVar("T")
#: What a question is about: a tenant by its key, or else a user.
Subject: TypeAlias = tuple[str, Any]

#: Of so many subjects questions may hang at a time.
MAX_HANGING: Final = 32
_questions: Final = TimeLimit(MAX_HANGING, hangs_up=True)
#: Whether this is the policy's own code. What it asks itself belongs to its answer.
_is_policys: Final[ContextVar[bool]] = ContextVar("django_jobs_policys_own", default=False)


class PolicyLate(PolicyFailed):
    """The policy has not answered in time."""


def guarded(name: str, find: Callable[[str], Any], *, may_hang: bool) -> Callable[..., Any]:
    """Return the method that ``find`` finds, wrapped: it gives an answer of the right kind or raises PolicyFailed.

    Where it ``may_hang``, since the host's code answers, it is given POLICY_SECONDS.
    """
    question = _ask(lambda: find(name))

    def ask(*args: Any, **kwargs: Any) -> Any:
        return _ask(lambda: KINDS[name](name, question(*args, **kwargs)))

    def ask_in_time(*args: Any, **kwargs: Any) -> Any:
        return _in_time(name, _subject([*args, *kwargs.values()]), lambda: ask(*args, **kwargs))

    return ask_in_time if may_hang and not _is_policys.get() else ask


def made(make: Callable[[], T]) -> T:
    """Return a new policy. It is given POLICY_SECONDS where the host's code has a part in that."""
    if _is_policys.get() or getattr(make, "__init__", None) is object.__init__:
        return make()
    value: T = _in_time("__init__", ("policy", getattr(make, "__name__", "")), make)
    return value


def _in_time(name: str, subject: Subject, answer: Callable[[], Any]) -> Any:
    """Return the answer. Raises PolicyLate if it takes too long, and at once while an earlier one about this hangs."""
    seconds = float(jobs_settings.POLICY_SECONDS)

    def run() -> Any:
        _is_policys.set(True)
        return answer()

    try:
        return _questions.call(subject, seconds, run)
    except Late as late:
        error = TimeoutError(f"{name}() has not answered for {seconds:g} s about the {subject[0]} {subject[1]}")
        error.add_note(str(late))
        raise PolicyLate(error) from error


def _subject(given: Iterable[Any]) -> Subject:
    model, user = get_organization_model(), None
    for value in given:
        if isinstance(value, model):
            return "organization", value.pk
        if isinstance(value, Job):
            return "organization", value.organization_id
        user = getattr(value, "pk", None) if user is None else user
    return "user", user


def _ask(answer: Callable[[], Any]) -> Any:
    try:
        return answer()
    except (Error, PolicyFailed):  # a database that is away is no fault of the policy's
        raise
    except (Exception, SystemExit) as error:  # neither a worker nor a web server ends because a policy says so
        raise PolicyFailed(error) from error


def _yes_or_no(name: str, answer: Any) -> bool:
    if not isinstance(answer, int):  # databases without booleans, and counts, say 0 and 1
        text = "%(question)s() returned %(answer)s; it must return True or False."
        raise TypeError(say(text, code="not_true_or_false", question=name, answer=_kind_of(answer)))
    return bool(answer)


def _organizations(name: str, answer: Any) -> QuerySet[Any]:
    if not isinstance(answer, QuerySet):
        text = "%(question)s() returned %(answer)s; it must return a queryset."
        raise TypeError(say(text, code="not_a_queryset", question=name, answer=_kind_of(answer)))
    model = get_organization_model()
    if not issubclass(answer.model, model._meta.concrete_model or model):
        text = "%(question)s() returned a queryset of %(answer)s, not of %(model)s."
        values = {"question": name, "answer": answer.model._meta.label, "model": model._meta.label}
        raise TypeError(say(text, code="another_model", **values))
    return answer


def _weight(name: str, answer: Any) -> float:
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real | Decimal):
        text = "%(question)s() returned %(answer)s; it must return a number above 0."
        raise TypeError(say(text, code="not_a_number", question=name, answer=_kind_of(answer)))
    weight = float(answer)
    if not (math.isfinite(weight) and weight > 0):
        text = "%(question)s() returned %(answer)s; it must return a number above 0."
        raise ValueError(say(text, code="out_of_range", question=name, answer=answer))
    return weight


def _count(name: str, answer: Any) -> int:
    if isinstance(answer, bool) or not isinstance(answer, numbers.Integral):
        text = "%(question)s() returned %(answer)s; it must return a whole number, 1 or more."
        raise TypeError(say(text, code="not_whole", question=name, answer=_kind_of(answer)))
    return operator.index(answer)


def _kind_of(answer: Any) -> str:
    if inspect.iscoroutine(answer):
        answer.close()  # nobody awaits it, and Python need not warn of that
        return "a coroutine"
    return "None" if answer is None else type(answer).__name__


#: What a policy is asked, and what looks at the answer.
KINDS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "organizations_of": _organizations,
    "weight": _weight,
    "in_flight_limit": _count,
    **dict.fromkeys(
        (
            "is_member",
            "is_organization_admin",
            "is_system_admin",
            "is_active",
            "can_submit",
            "can_view",
            "can_cancel",
            "can_retry",
            "can_delete",
            "can_read_output",
            "can_read_logs",
        ),
        _yes_or_no,
    ),
}
