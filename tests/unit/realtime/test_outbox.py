"""What waits to be told: bounded, the latest progress only, and progress the first to go."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django_jobs.realtime.broadcast import MAX_LISTED, Notification, Outbox
from django_jobs.realtime.protocol import SHARDS
from tests.support import verbs


def told(outbox: Outbox, what: str) -> dict[str, list[Any]]:
    return {key: items for message in outbox.take().values() for key, items in message[what].items()}


def merged(messages: dict[str, Notification]) -> dict[str, dict[str, Any]]:
    """The messages of all groups as one."""
    whole: dict[str, dict[str, Any]] = defaultdict(dict)
    for message in messages.values():
        for what, part in message.items():
            whole[what].update(part)
    return whole


def test_changes_are_kept_in_order_by_organization() -> None:
    outbox = Outbox()
    outbox.add_changes([(1, 10, 5), (2, 11, 6)])
    outbox.add_changes([(1, 12, 5)])
    assert told(outbox, "changes") == {"1": [[10, 5], [12, 5]], "2": [[11, 6]]}


def test_a_jobs_progress_is_told_once() -> None:
    outbox = Outbox()
    outbox.add_updates("progress", {5: 1})
    outbox.add_updates("progress", {5: 1, 6: 1})
    assert {key: sorted(jobs) for key, jobs in told(outbox, "progress").items()} == {"1": [5, 6]}


def test_a_flood_of_one_organization_is_told_by_its_newest_change() -> None:
    outbox = Outbox()
    outbox.add_changes([(1, number, number) for number in range(MAX_LISTED + 1)])
    outbox.add_changes([(2, 900, 5)])
    messages = merged(outbox.take())
    assert (messages["changes"], messages["floods"]) == ({"2": [[900, 5]]}, {"1": MAX_LISTED})


def test_what_was_taken_is_gone() -> None:
    outbox = Outbox(limit=1)
    outbox.add_changes([(1, 10, 5)])
    outbox.take()
    assert not outbox
    outbox.add_changes([(1, 11, 5)])
    assert (outbox.dropped, told(outbox, "changes")) == (0, {"1": [[11, 5]]})


def test_what_is_told_of_an_organization_goes_to_its_group() -> None:
    outbox = Outbox()
    outbox.add_changes([(1, 10, 5)])
    outbox.add_updates("progress", {6: 2})
    messages = outbox.take()
    assert messages[verbs.group_of(1)]["changes"] == {"1": [[10, 5]]}
    assert messages[verbs.group_of(2)]["progress"] == {"2": [6]}


def test_when_it_is_full_progress_goes_first() -> None:
    outbox = Outbox(limit=3)
    outbox.add_updates("progress", {5: 1, 6: 1})
    outbox.add_changes([(1, 10, 5), (1, 11, 6)])
    messages = merged(outbox.take())
    assert (outbox.dropped, messages["changes"], messages["progress"]) == (2, {"1": [[10, 5], [11, 6]]}, {})


def test_progress_that_finds_no_room_is_dropped() -> None:
    outbox = Outbox(limit=2)
    outbox.add_changes([(1, 10, 5), (1, 11, 6)])
    outbox.add_updates("progress", {5: 1})
    assert (outbox.dropped, told(outbox, "progress")) == (1, {})


def test_changes_beyond_the_limit_are_counted() -> None:
    outbox = Outbox(limit=1)
    outbox.add_changes([(1, 10, 5)])
    outbox.add_changes([(1, 11, 6), (1, 12, 7)])
    assert (outbox.dropped, told(outbox, "changes")) == (2, {"1": [[10, 5]]})


def test_there_are_few_groups_however_many_organizations() -> None:
    assert len({verbs.group_of(f"ORG {number}/ä") for number in range(1_000)}) == SHARDS
