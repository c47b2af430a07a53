"""What a submission names, and who may submit it."""

from __future__ import annotations

import copy
import functools
import hashlib
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeGuard

from django.db import models
from django.db.models.base import ModelState

from django_jobs.conf import jobs_settings
from django_jobs.engine import observers, organizations
from django_jobs.engine.access import (
    get_policy,
    id_value,
    may_hide_jobs,
    may_submit,
)
from django_jobs.engine.actors import name_of
from django_jobs.engine.claimed_job import current_job, submitter
from django_jobs.engine.job_types import types
from django_jobs.engine.job_types.parameters import lane_key
from django_jobs.engine.json_storage import canonical, is_storable_text
from django_jobs.engine.memory import Memory
from django_jobs.engine.organizations import read_tenants
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import NewJob, TargetRows, Versions, parts_of
from django_jobs.engine.submission.values import Errors, Fields, carrying, of_user, shown
from django_jobs.exceptions import InvalidSubmission, JobTypeNotFound, OrganizationNotFound, PermissionDenied
from django_jobs.models import Batch, BatchChange, Job, JobType, get_organization_model
from django_jobs.statuses import AWAITING_TURN, RETRYABLE_BY_HAND, UNSUCCESSFUL, OpenTo, RunAfter, Status, SubmitBy
from django_jobs.texts import marked as _
from django_jobs.texts import say

# What a submission may give as the names of its type and organization, and the keys by which their rows are found.


#: What is equal names the same.
_PLAIN: Final = frozenset({str, int, uuid.UUID})


def key_of_pair(job_type: object, organization: object) -> tuple[object, ...]:
    """Return a key that is the same for pairs that name the same in the same way."""
    if type(job_type) is str and type(organization) is str:  # as nearly always
        return job_type, organization
    return (*_identity(job_type), *_identity(organization))


def _identity(named: object) -> tuple[object, object]:
    value = named.pk if isinstance(named, models.Model) else named
    return type(named), value if type(value) in _PLAIN else id(named)


def is_name(value: object) -> TypeGuard[str]:
    """Return whether it is a text that can be stored, and not an empty one."""
    return isinstance(value, str) and bool(value) and is_storable_text(value)


def key_of_kind(job_type: object) -> str | None:
    """Return the name by which a type is found; None for what cannot be one."""
    name = job_type.pk if isinstance(job_type, JobType) else job_type
    return name if is_name(name) else None


def may_be_id(organization: object) -> bool:
    """Return whether it is of a kind that ids are of."""
    if isinstance(organization, get_organization_model()):
        return True
    return isinstance(organization, str | int | uuid.UUID) and not isinstance(organization, bool)


def key_of_tenant(organization: Any) -> tuple[str, Any] | None:
    """Return (field, value) by which an organization is found; None for what cannot be an id."""
    if isinstance(organization, get_organization_model()):
        return None if organization.pk is None else ("pk", organization.pk)
    if not may_be_id(organization) or (isinstance(organization, str) and not is_name(organization)):
        return None
    name = str(jobs_settings.ORGANIZATION_ID_FIELD)
    value = id_value(name, organization)
    return None if value is None else (name, value)


# What a submission names: its job type and its organization, as they are now, or what is wrong with the names.


class TargetsChanged(Exception):
    """What was remembered of type or organization is no longer so; read again."""


class Common(NamedTuple):
    """What all jobs of a type and an organization have in common.

    ``values`` are those of all columns; ``work`` is what :func:`work_of` makes of both.
    """

    values: Mapping[str, Any]
    window: int
    work: str
    concurrency_key: str


class Targets(NamedTuple):
    """With ``versions``, both come from memory or may go there, and the insertion must see that they still hold."""

    kind: JobType
    organization: Any
    common: Common
    versions: Versions | None = None


def common_of(kind: JobType, organization: Any) -> Common:
    """Return what all jobs of these have in common."""
    values = _defaults() | {
        "job_type_id": kind.pk,
        "organization_id": organization.pk,
        "organization_name": str(getattr(organization, jobs_settings.ORGANIZATION_ID_FIELD)),
        "priority": int(kind.default_priority),
        **{name: getattr(kind, name) for name in types.RETRY_FIELDS},
        "timeout_seconds": kind.default_timeout,
    }
    work = work_of(kind.type_name, organization.pk)
    return Common(values, int(kind.deduplication_window), work, kind.concurrency_key)


def work_of(job_type: str, organization_pk: object) -> str:
    """Return how the canonical JSON of a list begins whose last items say what is to be done."""
    return canonical([job_type, str(organization_pk)])[:-1]


def work_hash(work: str, parameters: Any, unique_key: str | None = None, text: str | None = None) -> str:
    """Return the SHA-256 of type, organization and canonical parameters: equal work has equal hashes.

    ``work`` is what :func:`work_of` tells of type and organization. A ``unique_key`` takes the place of the
    parameters, and is equal to none. ``text`` is the canonical JSON of the parameters, where it is known.
    """
    what = text or canonical(parameters) if unique_key is None else f'"unique_key",{canonical(unique_key)}'
    return hashlib.sha256(f"{work},{what}]".encode()).hexdigest()


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return what each field of a new job holds until something else is said."""
    return {field.attname: field.get_default() for field in Job._meta.concrete_fields}


def read_targets(job_type: object, organization: object, errors: Errors, authorizer: Authorizer) -> Targets | None:
    """Both, or None with what is wrong in ``errors``. Raises PermissionDenied when the authorizer does."""
    organization = organizations.meant(organization)
    found = _recall(job_type, organization)
    if found is None:
        return read_targets_now(job_type, organization, errors, authorizer)
    if authorizer.admit(found.kind, found.organization, found.kind.type_name) is None:
        errors.note("job_type", _missing("job type", job_type, is_id=True), JobTypeNotFound)
        return None
    return found


def read_targets_now(job_type: object, organization: object, errors: Errors, authorizer: Authorizer) -> Targets | None:
    """Do the same without what is remembered, for whoever inserts nothing by which an old row would be noticed."""
    [found] = read_all_targets([(job_type, organization)], authorizer)
    if not isinstance(found, Errors):
        return found
    errors.add(found)
    return None


def read_kind(job_type: object, errors: Errors, authorizer: Authorizer) -> JobType | None:
    """Return the type alone, for whatever organizations; None with what is wrong in ``errors``."""
    key = key_of_kind(job_type)
    kind = authorizer.admit(_read_kinds({key}).get(key) if key else None, None, shown(job_type))
    if kind is None:
        errors.note("job_type", _missing("job type", job_type, is_id=key is not None), JobTypeNotFound)
    return kind


def read_all_targets(wanted: Sequence[tuple[object, object]], authorizer: Authorizer) -> list[Targets | Errors]:
    """Read many pairs by two statements, or return what is wrong with their names.

    Each pair is judged once, however often it is wanted. Instances that were passed are read too, because they may be
    old.
    """
    wanted = [(job_type, organizations.meant(organization)) for job_type, organization in wanted]
    places: dict[Any, int] = {}
    indexes = [places.setdefault(key_of_pair(*pair), index) for index, pair in enumerate(wanted)]
    distinct = list(places.values())
    found = dict(zip(distinct, _read_pairs([wanted[index] for index in distinct], authorizer), strict=True))
    return [found[index] for index in indexes]


def read_organization(organization: object, errors: Errors) -> Any:
    """Return the organization of this id or instance as it is now; None with what is wrong in ``errors``."""
    organization = organizations.meant(organization)
    key = key_of_tenant(organization)
    tenant = _read_tenants({key}).get(key) if key is not None else None
    if tenant is None:
        errors.note("organization", _no_organization(organization, Authorizer(None)), OrganizationNotFound)
    return tenant


def _read_pairs(wanted: Sequence[tuple[object, object]], authorizer: Authorizer) -> list[Targets | Errors]:
    keys = [(key_of_kind(job_type), key_of_tenant(organization)) for job_type, organization in wanted]
    kinds = _read_kinds({kind for kind, _ in keys if kind is not None})
    tenants = _read_tenants({tenant for _, tenant in keys if tenant is not None})
    found: list[Targets | Errors] = []
    for (job_type, organization), (kind_key, tenant_key) in database.heard(zip(wanted, keys, strict=True)):
        own = Errors()
        kind, tenant = kinds.get(kind_key or ""), tenants.get(tenant_key or ("", None))
        kind = authorizer.admit(kind, tenant, shown(job_type))
        if kind is not None and tenant is not None:
            found.append(Targets(kind, tenant, common_of(kind, tenant)))
            continue
        if kind is None:
            is_missing = kind_key is not None and kind_key not in kinds
            own.note("job_type", _no_kind(job_type, authorizer, is_missing=is_missing), JobTypeNotFound)
        if tenant is None:
            own.note("organization", _no_organization(organization, authorizer), OrganizationNotFound)
        found.append(own)
    return found


def _no_kind(job_type: object, authorizer: Authorizer, *, is_missing: bool) -> str:
    """Return that there is no such type; to those who look after the code also that the code declares a missing one."""
    name = shown(job_type)
    if is_missing and types.declaration_of(name) is not None and authorizer.may_know_the_code():
        text = "There is no job type %(name)r (declared in code, run migrate or jobs_sync)."
        return say(text, code="not_synced", name=name)
    return _missing("job type", job_type, is_id=isinstance(job_type, str | JobType))


def _no_organization(organization: Any, authorizer: Authorizer) -> str:
    """Return that there is no such organization; to those who look after the settings also what these lack."""
    if organization is None and authorizer.may_know_the_code():
        return organizations.NOT_SET
    if organizations.is_named(organization) and authorizer.may_know_the_code():
        return organizations.missing()
    return _missing("organization", organization, is_id=may_be_id(organization))


def _missing(what: str, named: object, *, is_id: bool) -> str:
    if not is_id or named == "":
        text = f"Give the {'name' if what == 'job type' else 'id'} of {'an' if what[0] == 'o' else 'a'} {what}."
        return say(text, code="required")
    return say(f"There is no {what} %(name)r.", code=f"unknown_{what.replace(' ', '_')}", name=shown(named))


def _read_kinds(names: set[str]) -> dict[str, JobType]:
    rows = JobType.primary.filter(pk__in=names) if names else []
    return {kind.pk: kind for kind in rows}


def _read_tenants(keys: set[tuple[str, Any]]) -> dict[tuple[str, Any], Any]:
    found: dict[tuple[str, Any], Any] = {}
    tenants = database.rows(get_organization_model())
    for name in {key[0] for key in keys}:
        values = [value for own, value in keys if own == name]
        for some in parts_of(values):
            rows = tenants.filter(**{f"{name}__in": some})
            found |= {(name, getattr(tenant, name)): tenant for tenant in rows}
    for key in keys - found.keys():
        if key[0] != "pk" and organizations.is_named(key[1]):
            tenant = organizations.find()
            found |= {} if tenant is None else {key: tenant}
    return found


# What follows is the short way: a submission was a third cheaper once it no longer read both rows each time. What is
# remembered is exact, because the INSERT asks whether these very versions of the rows are still the valid ones.

_remembered: Final[Memory[tuple[Any, ...], tuple[TargetRows, Common]]] = Memory(2_000)


def _recall(job_type: object, organization: object) -> Targets | None:
    kind_name, model = key_of_kind(job_type), get_organization_model()
    by_pk = isinstance(organization, model)
    id_field = "pk" if by_pk else str(jobs_settings.ORGANIZATION_ID_FIELD)
    tenant_id: Any = organization.pk if isinstance(organization, model) else organization
    if kind_name is None or not _is_plain(model, id_field) or not (by_pk or is_name(tenant_id)):
        return None
    key = (database.alias(), model, kind_name, id_field, tenant_id)
    remembered = _remembered.get(key)
    rows, common = remembered.value if remembered else (store().read_targets(kind_name, id_field, tenant_id), None)
    if rows is None:
        return None
    kind, tenant = _type_of(rows, key[0]), model.from_db(key[0], [*rows.tenant], [*rows.tenant.values()])
    if common is None:
        _, common = _remembered.put(key, (rows, common_of(kind, tenant)))
    return Targets(kind, tenant, common, rows.versions)


def _type_of(rows: TargetRows, alias: str) -> JobType:
    """Return an instance of the type's row. Nobody else has it, so that whoever gets it may change it."""
    kind: JobType = instance_of(JobType, dict(rows.kind))
    kind._state.adding, kind._state.db = False, alias
    return kind


def instance_of(model: Any, values: dict[str, Any]) -> Any:
    """Return an instance of a model of ours that holds these values, in a fifth of the time that Django's way takes.

    Receivers of ``pre_init`` and ``post_init`` are not called, and those of a save neither.
    """
    made = model.__new__(model)
    made.__dict__ = values
    made._state = ModelState()
    return made


def forget_targets() -> bool:
    """Remember nothing, so that the next submission reads; whether anything was remembered."""
    had = bool(_remembered)
    _remembered.clear()
    return had


@functools.cache
def _is_plain(model: Any, id_field: str) -> bool:
    """Return whether an organization is one row of one table, so that the row's version changes with every change.

    Its id must be text, too, since that can be compared with whatever the caller gave.
    """
    is_text = id_field == "pk" or isinstance(model._meta.get_field(id_field), models.CharField | models.TextField)
    hides_none = type(model._default_manager).get_queryset is models.Manager.get_queryset
    connection = database.connection()
    converts_none = not any(field.get_db_converters(connection) for field in model._meta.concrete_fields)
    return bool(is_text and model._meta.managed and not model._meta.parents and hides_none and converts_none)


# The job that a submission would become, made of its values, its type and its organization.


@dataclass(slots=True, kw_only=True)
class PreparedJob(NewJob):
    """A submission that may become a row: the new job, what it was made of, and what it asks of the same work."""

    #: Made when it is first asked for: of many, while the server inserts those before it.
    job: Job = field(init=False)
    #: Among many: at which place of the list.
    place: int
    targets: Targets
    fields: Fields
    builder: Builder
    #: The earlier job of the same work, in whose favor this one is not inserted.
    existing: Job | None = None
    #: The earlier job that is no longer to keep the same work out: it has started, and this one is to be replaced next.
    supersedes: Job | None = None

    def __getattr__(self, name: str) -> Any:
        """Make the job: Python asks this for what is not there yet."""
        if name != "job":
            raise AttributeError(name)
        self.job = self.builder.job(self.fields, self.targets)
        return self.job


class Builder:
    """Makes the requests of one submitter: ``user`` is the owner, or None."""

    def __init__(self, user: Any) -> None:
        self.user = user
        submitted_by_id, submitted_by_attempt = submitter()
        self._submitter = {
            "owner_id": getattr(user, "pk", None),
            "owner_name": name_of(user),
            "submitted_by_id": submitted_by_id,
            "submitted_by_attempt": submitted_by_attempt,
        }
        #: Jobs of the same work that the user may see, as far as that was asked.
        self.shown: set[int] = set()
        self._carried = observers.carried()

    def build(self, fields: Fields, found: Targets, place: int = 0) -> PreparedJob:
        """Return the request of these values, for this type and organization."""
        if self.user is not None:
            fields = of_user(fields)
        if self._carried:
            fields = carrying(fields, self._carried)
        return PreparedJob(
            builder=self,
            versions=found.versions,
            parents=sorted(fields.parents.values()) if fields.parents else (),
            window=found.common.window if fields.deduplication_window is None else fields.deduplication_window,
            encoded=fields.encoded,
            targets=found,
            fields=fields,
            place=place,
        )

    def job(self, fields: Fields, found: Targets) -> Job:
        """Return the new job of these values."""
        common, given = found.common, fields.columns["input_parameters"]
        values = {**common.values, **self._submitter, **fields.columns}
        values["job_hash"] = work_hash(common.work, given, fields.unique_key, fields.canonical)
        if common.concurrency_key:
            values["lane_key"] = lane_key(common.concurrency_key, given)
        job: Job = instance_of(Job, values)
        job._state.fields_cache = {"job_type": found.kind}
        return job


# Who may submit which job type, and who may close, cancel and retry a batch.
#
# To a user, a type that they may not submit looks like one that does not exist.


def may_own(owner: Any, organization: Any, kind: JobType) -> bool:
    """Return whether code may submit the type in this owner's name.

    The type's ``submit_by`` does not matter then, since code submits it. The owner's other rights do.
    """
    if kind.submit_by != SubmitBy.MEMBERS:
        kind = copy.copy(kind)
        kind.submit_by = SubmitBy.MEMBERS
    return bool(get_policy().can_submit(owner, organization, kind))


def ask_ahead(organization: Any, owner: Any, kind: JobType | None) -> None:
    """Ask the policy what a submission will ask. Raises PolicyFailed.

    For duties that submit for one tenant after the other. In their transaction, a policy that hangs would keep others
    waiting. Once it was found to hang here, it fails there at once.
    """
    if get_policy().is_active(organization) and kind is not None:
        may_submit(owner, organization, kind)


class Authorizer:
    """Decides which of the named types one submitter may know of."""

    def __init__(self, user: Any, *, is_code: bool = False) -> None:
        """Decide for this user; ``is_code`` tells that handler code submits in the user's name."""
        self._user = user
        self._may = may_own if is_code else may_submit

    def admit(self, kind: JobType | None, organization: Any, named: str) -> JobType | None:
        """Return the type if the user may submit it for the organization, or may know of it without one.

        Return None for a type that is to look unknown. Raise PermissionDenied when the user has no part in the
        organization, whether or not there is such a type. ``named`` is the type's name in the error's text.
        """
        if self._user is None or (kind is not None and self._may_know(kind, organization)):
            return kind
        if organization is not None and not belongs(self._user, organization):
            text = say(_("You may not submit %(job_type)s for this organization."), code="no_part", job_type=named)
            raise PermissionDenied(text)
        return None

    def may_know_the_code(self) -> bool:
        """Return whether the submitter may be told what a deployment lacks: server code and system admins may."""
        return self._user is None or bool(get_policy().is_system_admin(self._user))

    def _may_know(self, kind: JobType, organization: Any) -> bool:
        if organization is None:
            return bool(Scope(self._user).submittable([kind]))
        return self._may(self._user, organization, kind)


def belongs(user: Any, organization: Any) -> bool:
    """Return whether the user has any part in the organization: as a member, as its admin or as a system admin."""
    policy = get_policy()
    return policy._is_live(user) and (  # noqa: SLF001
        policy.is_system_admin(user)
        or policy.is_member(user, organization)
        or policy.is_organization_admin(user, organization)
    )


def may_cancel_batch(user: Any, batch: Batch) -> bool:
    """Return whether the user may close or cancel this batch: its owner, and whoever manages it."""
    is_owner = batch.owner_id is not None and batch.owner_id == getattr(user, "pk", None)
    return is_owner or may_manage_batch(user, batch)


def may_manage_batch(user: Any, batch: Batch) -> bool:
    """Return whether the user manages the jobs of the batch's organization, and so may retry those that failed."""
    policy = get_policy()
    if policy.is_system_admin(user):
        return True
    tenant = read_tenants([batch.organization_id]).get(batch.organization_id)
    return tenant is not None and bool(policy.is_organization_admin(user, tenant))


# Adding new jobs to their batches, in the transaction that stores them.
#
# The batch's row is locked in a way that others who add jobs share. Whoever closes or ends the batch waits for them,
# and so knows of every job that counts. A job that fails or waits decides what follows the batch, and when. So a user
# adds jobs only where they may cancel the batch, or where it is open to members.


class BatchTakesNoJobs(InvalidSubmission):
    """Some of the batches take no jobs; ``by_batch`` has by their keys why."""

    def __init__(self, by_batch: Mapping[int, str]) -> None:
        super().__init__({"batch": list(by_batch.values())})
        self.by_batch = by_batch


def may_add(user: Any, batch: Batch, organization: Any) -> bool:
    """Return whether a job of this owner may come into the batch of their organization. Server code, None, may add.

    A batch of server code takes no user's jobs, since it may submit what no user may. The job whose handler made the
    batch may add to it, and so may the batch's own jobs, whoever owns them.
    """
    if user is None:
        return True
    if batch.open_to == OpenTo.MEMBERS:
        is_open = belongs(user, organization)
    else:
        is_open = bool(batch.owner_name) and may_cancel_batch(user, batch)
    return is_open or submitter()[0] == (batch.submitted_by_id or 0) or _runs_for(batch)


def may_replace(existing: Job, user: Any, organization: Any) -> bool:
    """Return whether a submission of this owner may change the earlier job of the same work, as far as its batch says.

    A job that has started is not changed: there is a new one.
    """
    if user is None or existing.batch_id is None or existing.status not in AWAITING_TURN:
        return True
    batch = Batch.primary.filter(pk=existing.batch_id).first()
    return batch is None or may_add(user, batch, organization)


def lock_batches(pks: Iterable[int]) -> None:
    """Hold these batches open until the transaction ends. Raise BatchTakesNoJobs where one takes no jobs."""
    wanted = sorted(set(pks))
    found = {batch.pk: batch for batch in store().share_batches(wanted)} if wanted else {}
    hindrances = {pk: text for pk in wanted if (text := _hindrance(found.get(pk)))}
    if hindrances:
        raise BatchTakesNoJobs(hindrances)


def _hindrance(batch: Batch | None) -> str | None:
    """Return why the batch takes no jobs, in words; None where it does."""
    if batch is None:
        return say("This batch was deleted.", code="deleted")
    if batch.canceled_at is not None:
        return say("%(batch)s was canceled: it takes no more jobs.", code="canceled", batch=batch.batch_id)
    if batch.closed_at is None or _runs_for(batch):
        return None
    if batch.completed_at is not None:
        text = "%(batch)s has ended: it takes no more jobs. Make another batch."
        return say(text, code="ended", batch=batch.batch_id)
    text = "%(batch)s is closed: only its own jobs may add jobs to it now."
    return say(text, code="closed", batch=batch.batch_id)


def _runs_for(batch: Batch) -> bool:
    """Return whether the handler that runs here belongs to a job of the batch, which cannot end before that job.

    One that was retried after the batch had ended makes it run again, though its row may not say so yet.
    """
    claimed = current_job.get()
    if claimed is None:
        return False
    rows = Job.primary.filter(pk=claimed.pk, batch_id=batch.pk, status=Status.RUNNING, attempt=claimed.attempt)
    return rows.exists()


def count_members(pks: Iterable[int]) -> None:
    """Note how many jobs each batch got: as many as its key stands here."""
    counts = Counter(pks)
    if counts:
        now = database.now()
        changes = [BatchChange(batch_id=pk, changed_at=now, total=number) for pk, number in sorted(counts.items())]
        BatchChange.primary.bulk_create(changes)


# The jobs to wait for and the batch that a submission names.


def read_named_batches(requests: Sequence[PreparedJob], user: Any) -> Mapping[str, Batch]:
    """Return the batches that exist of those that these name, by id. Raises PermissionDenied where one is not open."""
    wanted = {item.fields.batch.pk for item in requests if item.fields.batch is not None}
    rows = Batch.primary.filter(pk__in=wanted).defer("then", "on_failure", "fault") if wanted else ()
    batches = {batch.batch_id: batch for batch in rows}
    named = {item.fields.batch.batch_id: item.targets.organization for item in requests if item.fields.batch}
    for name, organization in named.items():
        batch = batches.get(name)
        if batch is None or batch.organization_id != organization.pk:
            continue  # it is not told that there is one
        if not may_add(user, batch, organization):
            text = say(_("You may not add jobs to %(batch)s."), code="not_owner", batch=batch.batch_id)
            raise PermissionDenied(text)
    return batches


def check_references(
    request: PreparedJob, parents: Mapping[str, Job], batches: Mapping[str, Batch], errors: Errors
) -> None:
    """Note what is wrong with the jobs and the batch that a request names; ``parents`` and ``batches`` exist.

    Whether the batch still takes jobs is asked under its lock, when the job is stored.
    """
    if request.fields.parents:
        _check_parents(request, parents, errors)
    if (named := request.fields.batch) is not None:
        batch = batches.get(named.batch_id)
        if batch is None or batch.organization_id != request.targets.organization.pk:  # not told apart
            text = "There is no batch %(batch)s in this organization."
            errors["batch"] = [say(text, code="unknown_batch", batch=named.batch_id)]


def read_parents(requests: Iterable[PreparedJob], user: Any) -> dict[str, Job]:
    """Return the jobs to wait for that exist, by id, without those that the policy hides from ``user``."""
    wanted = sorted({pk for request in requests for pk in request.parents})
    if not wanted:
        return {}
    rows = Job.primary.only("pk", "created_at", "status", "organization_id")
    found: dict[str, Job] = {}
    for some in parts_of(wanted):
        found |= {job.name: job for job in rows.filter(pk__in=some)}
    if user is None or not may_hide_jobs():
        return found
    scope = Scope(user)
    return {name: job for name, job in found.items() if scope.shows(job)}


def _check_parents(request: PreparedJob, known: Mapping[str, Job], errors: Errors) -> None:
    """Note which of the jobs to wait for cannot be waited for; ``known`` are those that exist, by id."""
    must_complete = request.fields.columns.get("run_after") != RunAfter.ENDED
    organization_pk = request.targets.organization.pk
    problems = [
        problem
        for name in request.fields.parents
        if (problem := _parent_problem(name, known, organization_pk, must_complete=must_complete))
    ]
    if problems:
        errors["depends_on"] = [*errors.get("depends_on", ()), *problems]


def _parent_problem(name: str, known: Mapping[str, Job], organization_pk: Any, *, must_complete: bool) -> str | None:
    parent = known.get(name)
    if parent is None or parent.organization_id != organization_pk:  # not told apart: it is none of theirs
        return say("There is no job %(job)s in this organization.", code="unknown_job", job=name)
    if must_complete and parent.status in UNSUCCESSFUL:
        hope = " unless somebody retries it" if parent.status in RETRYABLE_BY_HAND else ""
        text = f"%(job)s has ended as %(status)s: it will not complete{hope}."
        return say(text, code="will_not_complete", job=name, status=parent.status)
    return None
