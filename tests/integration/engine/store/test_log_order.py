"""What a store says of the order in which rows of the Execution Log become visible."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.models import F

from django_jobs.models import ExecutionLog, Installation, JobType, Organization
from tests.support import verbs
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_organization
from tests.support.verbs import Store

pytestmark = pytest.mark.usefixtures("broker")


only_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only there the order is that of transactions"
)


def ids_of(organization: Organization) -> list[int]:
    return list(ExecutionLog.objects.filter(organization=organization).order_by("pk").values_list("pk", flat=True))


@pytest.fixture
def other(each_store: Store) -> Organization:
    """An organization whose events lie among those of the one that is asked for."""
    return make_organization()


@pytest.fixture
def ids(each_store: Store, kind: JobType, organization: Organization, other: Organization) -> list[int]:
    """An organization's events, among those of another one."""
    job_in("Completed", job_type=kind, organization=organization)
    pending_job(kind, other)
    pending_job(kind, organization)
    pending_job(kind, other)
    return ids_of(organization)


def test_the_last_event_is_the_newest(
    each_store: Store, ids: list[int], organization: Organization, other: Organization
) -> None:
    assert each_store.last_event(organization.pk) == ids[-1]
    assert each_store.last_event(None) == ids_of(other)[-1]
    assert each_store.last_event(make_organization().pk) == 0


def test_a_log_is_one_organizations_or_everybodys(
    each_store: Store, ids: list[int], organization: Organization, other: Organization
) -> None:
    assert {row.pk for row in each_store.log_of(organization.pk)} == set(ids)
    assert {row.pk for row in each_store.log_of(None)} == {*ids, *ids_of(other)}


def test_behind_an_event_lie_all_later_ones_of_the_organization(
    each_store: Store, ids: list[int], organization: Organization
) -> None:
    for since in (0, ids[1], ids[1] + 1):
        later = {pk for pk in ids if pk > since}
        found = {row.pk for row in each_store.events_behind(organization.pk, since)}
        assert later <= found <= set(ids)


def test_what_is_written_after_a_mark_is_found_from_it(
    each_store: Store, kind: JobType, organization: Organization, other: Organization
) -> None:
    marks = {pk: each_store.log_mark(pk) for pk in (organization.pk, None)}
    pending_job(kind, organization)
    pending_job(kind, other)
    found = {pk: {row.pk for row in each_store.events_since(pk, [mark])} for pk, mark in marks.items()}
    assert found == {organization.pk: set(ids_of(organization)), None: {*ids_of(organization), *ids_of(other)}}


def test_what_was_written_since_the_oldest_mark_that_is_kept_is_found(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    marks = []
    for _ in range(each_store.marks_kept(organization.pk)):
        marks.append(each_store.log_mark(organization.pk))
        pending_job(kind, organization)
    found = {row.pk for row in each_store.events_since(organization.pk, marks)}
    assert found == set(ids_of(organization))


def test_a_horizon_lies_not_before_what_is_open(each_store: Store) -> None:
    horizon = each_store.log_horizon()
    assert horizon.oldest_open <= horizon.next_id


def from_far_ahead() -> None:
    """Have the log be that of a server that had far more transactions than this one."""
    rows = ExecutionLog.objects.filter(transaction_id__isnull=False)
    rows.update(transaction_id=F("transaction_id") + 10**12, oldest_open_id=F("oldest_open_id") + 10**12)


def restore_installation() -> None:
    """Put a new table with the same rows in the place of Installation's, as a restored dump does."""
    table = Installation._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO dumped")
        cursor.execute(f"CREATE TABLE {table} (LIKE dumped INCLUDING ALL)")
        cursor.execute(f"INSERT INTO {table} SELECT * FROM dumped")
        cursor.execute("DROP TABLE dumped")


@pytest.fixture
def restored(ids: list[int]) -> list[int]:
    """The organization's events as they are in a dump of a server that had far more transactions than this one."""
    from_far_ahead()
    verbs.installation_id()
    Installation.objects.update(log_server="the server of before")
    return ids


def test_behind_an_event_of_another_server_lies_all_that_this_one_wrote(
    each_store: Store, restored: list[int], kind: JobType, organization: Organization
) -> None:
    before = set(restored)
    for _ in range(2):  # the first look finds that the order began anew, and whoever looks later knows
        pending_job(kind, organization)
        new = set(ids_of(organization)) - before
        found = {row.pk for row in each_store.events_behind(organization.pk, restored[-1])}
        assert new <= found
        assert each_store.last_event(organization.pk) == max(new)


def test_behind_an_event_of_this_server_lies_nothing_of_another(
    each_store: Store, restored: list[int], kind: JobType, organization: Organization
) -> None:
    pending_job(kind, organization)
    since = ids_of(organization)[-1]
    pending_job(kind, organization)
    found = {row.pk for row in each_store.events_behind(organization.pk, since)}
    assert found >= {pk for pk in ids_of(organization) if pk > since}
    if type(each_store).__name__ == "PostgreSQLStore":  # the others go by moments
        assert not found & set(restored)


def test_no_poll_finds_what_another_server_wrote(
    each_store: Store, restored: list[int], kind: JobType, organization: Organization
) -> None:
    mark = each_store.log_mark(organization.pk)
    pending_job(kind, organization)
    found = {row.pk for row in each_store.events_since(organization.pk, [mark])}
    assert found == set(ids_of(organization)) - set(restored)


@only_postgresql
def test_behind_an_event_of_a_copied_server_lies_all_that_the_copy_wrote(
    kind: JobType, organization: Organization
) -> None:
    verbs.installation_id()
    verbs.store().log_horizon()
    pending_job(kind, organization)
    before = ids_of(organization)
    restore_installation()
    from_far_ahead()
    pending_job(kind, organization)
    found = {row.pk for row in verbs.store().events_behind(organization.pk, before[-1])}
    assert set(ids_of(organization)) - set(before) <= found


@only_postgresql
def test_a_horizon_waits_for_no_transaction_of_another_database() -> None:
    with elsewhere("BEGIN") as open_id, elsewhere() as ended_id:
        assert ended_id > open_id
        assert verbs.store().log_horizon().oldest_open > open_id


@only_postgresql
def test_a_mark_waits_for_no_transaction_of_another_database() -> None:
    with elsewhere("BEGIN") as open_id, elsewhere() as ended_id:
        assert ended_id > open_id
        assert verbs.store().log_mark("") > open_id


@contextlib.contextmanager
def elsewhere(*before: str) -> Iterator[int]:
    """A transaction of another database, by its id."""
    other = connection.copy()
    other.settings_dict = {**connection.settings_dict, "NAME": "postgres"}
    with contextlib.closing(other), other.cursor() as cursor:
        for sql in before:
            cursor.execute(sql)
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        yield cursor.fetchall()[0][0]
