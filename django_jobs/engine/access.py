"""Who may do what: the access policy, which answers of a host's own count, and finding a job on behalf of a user."""

from __future__ import annotations

import inspect
import logging
import math
import numbers
import operator
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import Error, connections
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.deadlines import Late, TimeLimit
from django_jobs.engine.json_storage import clean_text, is_storable_text
from django_jobs.engine.organizations import closed, closes
from django_jobs.engine.store import database
from django_jobs.engine.store.database import fresh_reads
from django_jobs.exceptions import PermissionDenied, PolicyFailed
from django_jobs.models import Job, JobType, Membership, get_organization_model
from django_jobs.statuses import SubmitBy
from django_jobs.texts import say

# Which answers of a host's access policy count. Any other answer is a failure of the policy, and decides nothing.
#
# Python takes a text, a coroutine, or a method without its parentheses for true; and the keys of another model's rows
# may be keys of organizations. Taken for answers, they would open what the policy meant to close. Nor does an answer
# count that comes later than POLICY_SECONDS: nobody waits for it.


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

    def ask(*args: Any, **kwargs: Any) -> Any:
        try:
            return ANSWER_KINDS[name](name, find(name)(*args, **kwargs))
        except (Error, PolicyFailed):  # a database that is away is no fault of the policy's
            raise
        except (Exception, SystemExit) as error:  # neither a worker nor a web server ends because a policy says so
            raise PolicyFailed(error) from error

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
ANSWER_KINDS: Final[dict[str, Callable[[str, Any], Any]]] = {
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


# The access policy: who may do what. A host may replace the class.


logger = logging.getLogger("django_jobs")

#: Of so many tenants something may go on beside.
MAX_BESIDE: Final = 8
_beside: Final = TimeLimit(MAX_BESIDE, hangs_up=False)


class AccessPolicy:
    """The built-in policy, by :class:`~django_jobs.models.Membership`.

    A host with its own tenants replaces the first five methods. The other methods call these. They refuse whoever is
    not authenticated or not active, whatever the five say.
    """

    def __getattribute__(self, name: str) -> Any:
        """Make each question give an answer of its kind or raise PolicyFailed, however a subclass answers it.

        Otherwise an AttributeError could be swallowed on its way, and a DoesNotExist be taken for a missing job.
        """
        find = super().__getattribute__
        if name not in ANSWER_KINDS:
            return find(name)
        ask = guarded(name, find, may_hang=_is_hosts(type(self), name))
        return closed(name, ask, self) if closes(name) else ask

    def organizations_of(self, user: Any) -> QuerySet[Any]:
        """Return the organizations whose jobs the user may see."""
        organizations: QuerySet[Any] = get_organization_model()._default_manager.all()
        if not self._is_live(user):
            return organizations.none()
        return organizations.filter(pk__in=Membership.objects.filter(user_id=user.pk).values("organization_id"))

    def is_member(self, user: Any, organization: Any) -> bool:
        """Return whether the user belongs to the organization."""
        memberships = self._memberships(user, organization)
        return self._is_live(user) and memberships.exists()

    def is_organization_admin(self, user: Any, organization: Any) -> bool:
        """Return whether the user manages the organization's jobs."""
        memberships = self._memberships(user, organization).filter(role=Membership.Role.ADMIN)
        return self._is_live(user) and memberships.exists()

    def is_system_admin(self, user: Any) -> bool:
        """Return whether the user manages the jobs of every organization."""
        return self._is_live(user) and bool(user.has_perm("django_jobs.manage_all_jobs"))

    def is_active(self, organization: Any) -> bool:
        """Return whether the organization's jobs may start."""
        return bool(organization.is_active)

    def weight(self, organization: Any) -> float:
        """Return how much of the work the organization gets beside others that have jobs waiting.

        With 2.0 it gets twice as much as one with 1.0. It is a number above 0; what is below 0.01 counts as 0.01, and
        what is above 100 as 100. The answer holds for some seconds.
        """
        return 1.0

    def in_flight_limit(self, organization: Any) -> int:
        """Return how many jobs of the organization may be queued or running at once, 1 or more.

        The answer holds for some seconds.
        """
        return int(jobs_settings.MAX_IN_FLIGHT_PER_ORGANIZATION)

    def can_submit(self, user: Any, organization: Any, job_type: JobType) -> bool:
        """Return whether the user may submit the type: ``submit_by`` names them, and they hold its permission.

        System admins may submit every type except those for code alone, which no user may submit.
        """
        if not self._is_live(user) or job_type.submit_by == SubmitBy.CODE:
            return False
        if getattr(user, "is_superuser", False) and self.is_system_admin(user):  # without a statement
            return True
        is_for_admins = job_type.submit_by == SubmitBy.ADMINS
        has_role = self.is_organization_admin if is_for_admins else self.is_member
        may = has_role(user, organization) and holds(user, job_type.requires_permission)
        return may or self.is_system_admin(user)  # last, since permissions take two statements

    def can_view(self, user: Any, job: Job) -> bool:
        """Return whether the user may see the job: if they see its organization's jobs.

        An override narrows that for single jobs, not for lists.
        """
        if not self._is_live(user) or self.is_system_admin(user):
            return self._is_live(user)
        return self.organizations_of(user).using(database.alias()).filter(pk=job.organization_id).exists()

    def can_cancel(self, user: Any, job: Job) -> bool:
        """Return whether the user may cancel the job.

        Its owner may while they see its organization's jobs, and so may the organization's admins and system admins.
        """
        if self._manages(user, job):
            return True
        return job.owner_id is not None and job.owner_id == getattr(user, "pk", None) and self.can_view(user, job)

    def can_retry(self, user: Any, job: Job) -> bool:
        """Return whether the user may retry the job.

        System admins may, and the organization's admins who hold the permission that the type requires.
        """
        if not self._manages(user, job):
            return False
        return self.is_system_admin(user) or holds(user, _required_permission(job))

    def can_delete(self, user: Any, job: Job) -> bool:
        """Return whether the user may delete the job once it has ended: system admins may."""
        return self._is_live(user) and self.is_system_admin(user)

    def can_read_output(self, user: Any, job: Job) -> bool:
        """Return whether the user may download the job's output: whoever may see the job may."""
        return self.can_view(user, job)

    def can_read_logs(self, user: Any, job: Job) -> bool:
        """Return whether the user may read what the job's handler wrote to the log: system admins may.

        It is asked for jobs that the user may see, where the setting ``HANDLER_LOGS`` has lines kept.
        """
        return self._is_live(user) and self.is_system_admin(user)

    def _manages(self, user: Any, job: Job) -> bool:
        """Return whether the user is a system admin, or an admin of the job's organization."""
        if not self._is_live(user) or self.is_system_admin(user):
            return self._is_live(user)
        organization = database.rows(get_organization_model()).filter(pk=job.organization_id).first()
        return organization is not None and self.is_organization_admin(user, organization)

    @staticmethod
    def _memberships(user: Any, organization: Any) -> QuerySet[Membership]:
        pk: Any = getattr(user, "pk", None)
        return Membership.primary.filter(user_id=pk, organization_id=organization.pk)

    @staticmethod
    def _is_live(user: Any) -> bool:
        return bool(getattr(user, "is_authenticated", False) and getattr(user, "is_active", False))


#: The built-in answers that ask nothing but the database.
_PLAIN: Final = ("is_active", "weight", "in_flight_limit", "is_member", "is_organization_admin", "organizations_of")
_BACKENDS: Final = ["django.contrib.auth.backends.ModelBackend"]


def _is_hosts(policy: type[AccessPolicy], question: str) -> bool:
    """Return whether the host's code has a part in the answer: its policy, or its backends of permissions."""
    if question in _PLAIN:
        return getattr(policy, question) is not getattr(AccessPolicy, question)
    return policy is not AccessPolicy or list(settings.AUTHENTICATION_BACKENDS) != _BACKENDS


def beside(organization_pk: Any, function: Callable[[], T]) -> T:
    """Do what is about one tenant and may wait for long, for a caller who works for all of them.

    Raises Late if it takes longer than TENANT_PATIENCE_SECONDS. It goes on then in a thread of its own, and nothing
    else about the tenant begins meanwhile. In a caller's transaction, which would be lost, it is waited for. Where it
    lost its own transaction to a policy that hangs it is done once more: nothing waits for that policy then.
    """

    def again() -> T:
        try:
            return function()
        except PolicyLate:
            return function()

    if any(item.in_atomic_block for item in connections.all(initialized_only=True)):
        return function()
    return _beside.call(organization_pk, timing.TENANT_PATIENCE_SECONDS, again)


def ask_beside(organization_pk: Any, question: Callable[[], T]) -> T:
    """Do the same for what only asks the policy, where the host's code answers."""
    return beside(organization_pk, question) if may_hang() else question()


def may_hang() -> bool:
    """Return whether the host's code has a part in what the policy answers."""
    return bool(jobs_settings.ACCESS_POLICY) or list(settings.AUTHENTICATION_BACKENDS) != _BACKENDS


def holds(user: Any, permission: str) -> bool:
    """Return whether the user has a permission such as ``app_label.codename``. Everybody has the blank one."""
    return not permission or bool(user.has_perm(permission))


def may_submit(user: Any, organization: Any, kind: JobType) -> bool:
    """Return whether this user may submit the type for the organization; server code (None) may.

    The policy decides, but cannot open a type that is for code alone.
    """
    if user is None:
        return True
    return kind.submit_by != SubmitBy.CODE and bool(get_policy().can_submit(user, organization, kind))


def _required_permission(job: Job) -> str:
    """Return the permission that the job's type requires; blank when the type is gone."""
    rows = JobType.primary.filter(pk=job.job_type_id)
    return rows.values_list("requires_permission", flat=True).first() or ""


def get_policy() -> AccessPolicy:
    """Return the host's policy, or the built-in one."""
    path = jobs_settings.ACCESS_POLICY
    if not path:
        return AccessPolicy()
    try:
        policy: AccessPolicy = made(import_string(path))
    except (ImportError, TypeError) as error:
        raise ImproperlyConfigured(f"DJANGO_JOBS['ACCESS_POLICY'] names {path!r}: {error}") from error
    except PolicyFailed:
        raise
    except (Exception, SystemExit) as error:
        raise PolicyFailed(error) from error
    return policy


def may_hide_jobs(policy: AccessPolicy | None = None) -> bool:
    """Return whether the host's policy may hide single jobs from people who see the organization."""
    return type(policy or get_policy()).can_view is not AccessPolicy.can_view


def is_active(organization: Any) -> bool:
    """Return whether the policy lets the organization's jobs start, and its members read their outputs."""
    return get_policy().is_active(organization)


def may_start(organization: Any) -> bool:
    """Return whether the policy lets the organization's jobs start. If the policy fails, only these jobs wait."""
    try:
        with fresh_reads():
            return bool(get_policy().is_active(organization))
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's code)
        complain(error)
        return False


_last_complaint: float = -math.inf


def complain(error: Exception) -> None:
    """Log that the policy fails, at most once a minute, because it is asked for every job."""
    global _last_complaint  # noqa: PLW0603  (a process-wide note)
    if time.monotonic() - _last_complaint >= timing.POLICY_COMPLAINT_SECONDS:
        _last_complaint = time.monotonic()
        report(error)


def report(error: Exception) -> None:
    """Log that the policy failed, with the traceback of what it raised."""
    cause = cause_of(error)
    logger.error("event=access_policy_failed error=%r", cause, exc_info=cause)


def cause_of(error: BaseException) -> BaseException:
    """Return what the policy itself raised."""
    return error.__cause__ if isinstance(error, PolicyFailed) and error.__cause__ is not None else error


# Finds a job, or the organizations that are meant, on behalf of a user.


#: Of a number that every database can compare with a primary key.
MAX_DIGITS: Final = 18
#: No database has a larger whole number for a key.
MAX_WHOLE: Final = 2**63


def key_in(text: str) -> int | None:
    """Return the primary key that a text says; None where it says none that a row could have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None


def id_value(field: str, given: Any) -> Any:
    """Return the value of the organizations' id field that somebody means; None where the field cannot have it."""
    # PostgreSQL fails at NUL, and the caller's transaction with it.
    if given is None or (isinstance(given, str) and not (given and is_storable_text(given))):
        return None
    meta = get_organization_model()._meta
    column: Any = meta.pk if field == "pk" else meta.get_field(field)
    try:
        value = column.to_python(given)
    except (ValidationError, ValueError, TypeError, OverflowError):
        return None
    is_too_large = isinstance(value, int) and not -MAX_WHOLE <= value < MAX_WHOLE  # which SQLite's driver cannot send
    return None if is_too_large else value


def unknown_organization(name: Any) -> str:
    """Return the one error for an organization that does not exist and for one that the user may not know of."""
    return say("There is no organization %(name)r.", code="unknown_organization", name=clean_text(name, 140))


# In whose name a job, a batch or a schedule acts.


def find_owner(row: Any) -> Any:
    """Return the user who owns this; None where nobody does, and where the user is gone."""
    return None if row.owner_id is None else database.rows(get_user_model()).filter(pk=row.owner_id).first()


def owner_of(row: Any, named: str) -> Any:
    """Return the user in whose name this acts; None for server code. Raises PermissionDenied if the user is gone."""
    if row.owner_id is None and not row.owner_name:
        return None
    owner = find_owner(row)
    if owner is None:
        text = "%(owner)s, the owner of %(named)s, no longer exists."
        raise PermissionDenied(say(text, code="owner_gone", owner=row.owner_name, named=named))
    return owner
