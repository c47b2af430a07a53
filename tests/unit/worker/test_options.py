"""What `jobs_worker` was asked to do, on its way to the children."""

from __future__ import annotations

import pytest

from django_jobs.worker.processes import parse_queues
from tests.support.refusals import refused
from tests.support.verbs import WorkerOptions


@pytest.mark.parametrize(
    "options",
    [
        WorkerOptions(),
        WorkerOptions(
            processes=4,
            threads=2,
            queues=("jobs-high", "jobs-low"),
            burst=True,
            scheduler=False,
            max_jobs=9,
            max_memory=300,
        ),
    ],
)
def test_options_survive_the_way_through_json(options: WorkerOptions) -> None:
    assert WorkerOptions.from_json(options.to_json()) == options


def test_queues_are_told_apart_by_spaces_and_commas(subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[str], tuple[str, ...]]] = [
        ([], ()),
        (["low"], ("low",)),
        (["low", "high"], ("low", "high")),
        (["low,high"], ("low", "high")),
        (["low, high", "critical,"], ("low", "high", "critical")),
        (["low", "low"], ("low",)),
    ]
    for words, expected in cases:
        with subtests.test(words=words, expected=expected):
            assert parse_queues(words, ["critical", "high", "low"]) == expected


def test_a_queue_that_is_none_of_ours_is_refused_with_those_that_are() -> None:
    with refused(ValueError, "unknown_queue") as caught:
        parse_queues(["low,nonsense"], ["critical", "low"])
    assert caught.value.args[0].values == {"name": "nonsense", "known": "critical, low"}


def test_commas_alone_name_no_queue() -> None:
    with refused(ValueError, "names_nothing"):
        parse_queues([","], ["low"])
