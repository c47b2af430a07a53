"""How many jobs of types and keys may start in one pass: exact, evenly spread, and small to keep."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from django_jobs.engine.dispatch.rates import NO_LIMIT
from tests.support import verbs
from tests.support.start_rates import ORGANIZATION, START, Simulation, job_of, lane_of, most_in_a_window, tenths
from tests.support.tuning import Tuning
from tests.support.verbs import StartAttempt, StartLimit

MAIL = "mail"
#: How much of a window a bucket is.
BUCKET = 0.01
#: For how much of a window longer than that a start counts, at most.
SLACK = 0.005


def every(seconds: float) -> Iterator[float]:
    return itertools.repeat(seconds)


def limited(most: int, seconds: int) -> Simulation:
    """A simulation with one limited type, of which many jobs wait."""
    simulation = Simulation({MAIL: StartLimit(most, None, seconds)})
    simulation.submit(MAIL, 100_000)
    return simulation


def what_counts(kept: Any) -> dict[str, list[Any]]:
    """What is kept of a type's windows beside their tokens: when jobs started, and what is in hand."""
    rates = kept["types"][MAIL]
    return {key: item[5:] for key, item in {**rates["keys"], "": rates["total"]}.items()}


def test_one_in_an_hour_starts_at_once_and_the_next_one_an_hour_later() -> None:
    simulation = limited(1, 3600)
    simulation.run(2 * 3600, every(5.0))
    first, second = simulation.all_starts(MAIL)
    assert first == START
    assert 3600 <= second - first <= 3600 * (1 + 2 * BUCKET + SLACK)


def test_a_thousand_in_a_second_come_to_nearly_that() -> None:
    simulation = limited(1000, 1)
    simulation.run(5.0, every(0.005))
    starts = simulation.all_starts(MAIL)
    assert most_in_a_window(starts, 1) <= 1000
    assert len(starts) >= 5 * 1000 * 0.965


@pytest.mark.parametrize(("most", "seconds", "gap"), [(1000, 1, 0.002), (100, 10, 0.02), (600, 60, 0.1)])
def test_each_tenth_of_a_window_has_its_tenth_from_the_first_one_on(most: int, seconds: int, gap: float) -> None:
    simulation = limited(most, seconds)
    simulation.run(3.0 * seconds, every(gap))
    found = tenths(simulation.all_starts(MAIL), START, seconds)
    assert len(found) >= 28
    assert all(abs(count / (most / 10) - 1) <= 0.1 for count in found), found


def test_an_idle_type_saves_up_nothing() -> None:
    simulation = Simulation({MAIL: StartLimit(100, None, 10)})
    simulation.submit(MAIL, 30)
    simulation.run(100.0, every(0.02))
    begin = simulation.now
    simulation.submit(MAIL, 1000)
    simulation.run(2.0, every(0.02))
    found = tenths(simulation.all_starts(MAIL), begin, 10)
    assert all(9 <= count <= 11 for count in found), found


def test_passes_that_come_late_catch_up_on_no_more_than_a_tenth_of_the_window() -> None:
    simulation = limited(100, 10)
    simulation.run(0.5, every(0.02))
    simulation.go_on(9.0)
    assert 1 <= simulation.make_pass() <= 10


@pytest.mark.parametrize(("seconds", "gap"), [(10, 0.005), (10, 0.1), (60, 0.1)])
def test_the_loss_is_that_of_a_bucket_and_of_the_pauses_between_passes(seconds: int, gap: float) -> None:
    simulation = limited(20 * seconds, seconds)
    simulation.run(3.0 * seconds, every(gap))
    share = len(simulation.all_starts(MAIL)) / (60 * seconds)
    assert 1 - BUCKET - SLACK - 2 * gap / seconds - 0.005 <= share <= 1


def test_what_is_queued_and_does_not_start_takes_all_of_the_window() -> None:
    simulation = Simulation({MAIL: StartLimit(10, None, 1)}, itertools.repeat(1000.0))
    simulation.submit(MAIL, 100)
    simulation.run(20.0, every(0.05))
    assert simulation.waiting[MAIL, 0] == 90


def test_a_lowered_limit_takes_effect_at_the_next_pass() -> None:
    simulation = limited(100, 10)
    simulation.run(10.0, every(0.02))
    simulation.limits[MAIL] = StartLimit(50, None, 10)
    assert simulation.make_pass() == 0
    simulation.run(30.0, every(0.02))
    assert most_in_a_window([moment for moment in simulation.all_starts(MAIL) if moment > START + 10], 10) <= 50
    assert len([moment for moment in simulation.all_starts(MAIL) if moment > START + 20]) >= 95


def test_a_raised_limit_takes_effect_at_the_next_passes() -> None:
    simulation = limited(10, 10)
    simulation.run(10.0, every(0.02))
    simulation.limits[MAIL] = StartLimit(1000, None, 10)
    begin = simulation.now
    simulation.run(10.0, every(0.02))
    assert len([moment for moment in simulation.all_starts(MAIL) if moment > begin]) >= 950


@pytest.mark.parametrize(("before", "after"), [(10, 3), (10, 7), (3, 2)])
def test_a_window_that_was_made_shorter_counts_what_started_before(before: int, after: int) -> None:
    simulation = limited(20, before)
    simulation.run(2.0 * before, every(0.02))
    simulation.limits[MAIL] = StartLimit(20, None, after)
    begin = simulation.now
    simulation.run(3.0 * after, every(0.02))
    starts = simulation.all_starts(MAIL)
    assert most_in_a_window([moment for moment in starts if moment > begin - after], after) <= 20
    assert len([moment for moment in starts if moment > begin]) >= 40


@pytest.mark.parametrize("step", [0.5, 5.0, 3600.0, 86_400.0 * 365])
def test_a_clock_that_was_set_back_neither_blocks_nor_lets_too_many_go(step: float) -> None:
    simulation = limited(20, 10)
    simulation.run(15.0, every(0.1))
    simulation.offset -= step
    begin = simulation.now
    simulation.run(30.0, every(0.1))
    starts = simulation.all_starts(MAIL)
    assert most_in_a_window(starts, 10) <= 20
    assert len([moment for moment in starts if moment > begin]) >= 50


def test_a_clock_that_is_set_back_a_little_again_and_again_costs_nearly_nothing() -> None:
    simulation = limited(20, 10)
    for offset in itertools.islice(itertools.cycle([0.0, -0.15]), 400):
        simulation.offset = offset
        simulation.make_pass()
        simulation.go_on(0.1)
    starts = simulation.all_starts(MAIL)
    assert most_in_a_window(starts, 10) <= 20
    assert len(starts) >= 70


def test_a_clock_that_was_set_back_from_the_begin_of_a_bucket_to_an_end_lets_nothing_go_early() -> None:
    limits, begin = {MAIL: StartLimit(1, None, 10)}, 1_700_000_000.0
    rates = verbs.read_start_rates(None, limits, [], begin)
    rates.take(job_of(MAIL, 0, 1))
    rates = verbs.read_start_rates(rates.to_keep(), limits, [], begin + 0.1001, lambda _: {(1, 0): begin + 0.0499})
    rates = verbs.read_start_rates(rates.to_keep(), limits, [], begin - 100 + 0.0999)
    rates = verbs.read_start_rates(rates.to_keep(), limits, [], begin - 100 + 0.0999 + 9.9002)
    assert rates.left(lane_of(MAIL)) == 0


def test_a_key_that_nobody_asked_for_when_the_clock_was_set_back_is_not_blocked() -> None:
    simulation = Simulation({MAIL: StartLimit(None, 1, 10)})
    simulation.submit(MAIL, 1, 5)
    simulation.run(1.0, every(0.5))
    simulation.offset -= 3600
    simulation.run(11.0, every(0.5))
    simulation.submit(MAIL, 1, 5)
    simulation.run(2.0, every(0.5))
    assert len(simulation.starts[MAIL, 5]) == 2


def test_starts_in_long_buckets_count_in_full_when_the_window_is_made_shorter() -> None:
    for limit in (StartLimit(1, None, 100), StartLimit(None, 1, 100)):
        limits, begin = {MAIL: limit}, 1_700_000_000.0
        rates = verbs.read_start_rates(None, limits, [], begin)
        rates.take(job_of(MAIL, 0, 1))
        kept = verbs.read_start_rates(rates.to_keep(), limits, [], begin + 0.7).to_keep()
        shorter = {MAIL: limit._replace(seconds=2)}
        kept = verbs.read_start_rates(kept, shorter, [], begin + 1.0).to_keep()
        assert verbs.read_start_rates(kept, shorter, [], begin + 2.5).left(lane_of(MAIL)) == 0
        assert verbs.read_start_rates(kept, shorter, [], begin + 4.2).left(lane_of(MAIL)) == 1


def test_a_job_that_was_requeued_counts_for_each_of_its_starts() -> None:
    simulation = Simulation({MAIL: StartLimit(2, None, 10)})
    simulation.submit(MAIL, 1)
    for _ in range(1000):
        simulation.make_pass()
        simulation.go_on(0.02)
        simulation.requeue((MAIL, 0))
    starts = simulation.all_starts(MAIL)
    assert most_in_a_window(starts, 10) == 2
    assert len(starts) == 4


def test_a_start_that_is_seen_late_counts_from_when_the_rows_say_it_was() -> None:
    seconds = {}
    for tells_starts in (False, True):
        simulation = Simulation({MAIL: StartLimit(1, None, 3600)}, tells_starts=tells_starts)
        simulation.submit(MAIL, 1)
        simulation.make_pass()
        simulation.go_on(3000)
        simulation.submit(MAIL, 1)
        simulation.run(2 * 3600, every(5.0))
        first, second = simulation.all_starts(MAIL)
        seconds[tells_starts] = second - first
    assert 3600 <= seconds[True] <= 3600 * (1 + 2 * BUCKET + SLACK)
    assert 6600 <= seconds[False] <= 3000 + 3600 * (1 + 2 * BUCKET + SLACK)


def test_rows_that_tell_a_start_a_few_milliseconds_too_early_let_no_other_go_early() -> None:
    # The rows tell the first start at the end of a bucket: in truth it was in the next one.
    simulation = Simulation({MAIL: StartLimit(1, None, 1)}, iter([0.5044, 0.0]), tells_starts=True)
    simulation.rows_are_early = 0.0045
    simulation.submit(MAIL, 2)
    simulation.run(2.0, itertools.chain([0.499, 0.007], every(0.001)))
    first, second = simulation.all_starts(MAIL)
    assert 1 <= second - first <= 1 + 2 * BUCKET + SLACK


def test_what_the_rows_say_counts_from_no_earlier_than_the_pass_that_saw_it_queued() -> None:
    def wrong_rows(attempts: Collection[StartAttempt]) -> dict[StartAttempt, float | None]:
        return dict.fromkeys(attempts, START - 10**6)

    limits = {MAIL: StartLimit(1, None, 10)}
    first = verbs.read_start_rates(None, limits, [], START)
    first.take(job_of(MAIL, 0, 1))
    second = verbs.read_start_rates(first.to_keep(), limits, [], START + 9, wrong_rows)
    third = verbs.read_start_rates(second.to_keep(), limits, [], START + 9.9)
    assert third.left(lane_of(MAIL)) == 0


def test_what_went_back_to_the_backlog_takes_no_room_where_the_rows_tell_it() -> None:
    waiting = {}
    for tells_starts in (False, True):
        simulation = Simulation({MAIL: StartLimit(5, None, 3600)}, itertools.repeat(1.0), tells_starts=tells_starts)
        simulation.submit(MAIL, 1)
        for _ in range(20):
            simulation.make_pass()
            simulation.withdraw()
            simulation.go_on(1.0)
        simulation.run(600.0, every(1.0))
        waiting[tells_starts] = simulation.waiting[MAIL, 0]
        assert most_in_a_window(simulation.all_starts(MAIL), 3600) <= 5
    assert waiting == {False: 1, True: 0}


def test_what_was_taken_and_not_queued_after_all_counts_no_more() -> None:
    rates = verbs.read_start_rates(None, {MAIL: StartLimit(1, 1, 10)}, [], START)
    rates.take(job_of(MAIL, 3, 1))
    assert rates.left(lane_of(MAIL, 3)) == 0
    rates.put_back(job_of(MAIL, 3, 1))
    assert rates.left(lane_of(MAIL, 3)) == 1
    assert rates.to_keep() == {}


def test_a_type_without_limits_of_starts_has_none() -> None:
    rates = verbs.read_start_rates(None, {MAIL: StartLimit(None, None, 60)}, [job_of("other", 0, 1)], START)
    rates.take(job_of("other", 0, 2))
    rates.put_back(job_of("other", 0, 2))
    assert rates.left(lane_of("other")) == rates.left(lane_of(MAIL)) == NO_LIMIT
    assert rates.next_at() is None


def test_what_others_queued_counts() -> None:
    queued = [job_of(MAIL, 0, pk) for pk in range(3)]
    rates = verbs.read_start_rates(None, {MAIL: StartLimit(3, None, 10)}, queued, START)
    assert rates.left(lane_of(MAIL)) == 0


def test_somebody_looks_again_exactly_when_the_next_one_may_start() -> None:
    simulation = limited(5, 10)
    moments: list[float] = []
    while len(moments) < 20:
        moments += [simulation.now] * simulation.make_pass()
        assert simulation.next_at is not None
        simulation.go_on(max(simulation.next_at - simulation.now, 0.0))
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert all(2.0 <= gap <= 2.0 * (1 + 3 * BUCKET + SLACK) for gap in gaps), gaps


def test_nobody_needs_to_look_again_where_nothing_is_at_its_rate() -> None:
    limits = {MAIL: StartLimit(5, None, 10)}
    assert verbs.read_start_rates(None, limits, [], START).next_at() is None
    asked = verbs.read_start_rates(None, limits, [], START)
    assert asked.left(lane_of(MAIL)) == 1
    assert asked.next_at() is None


def test_looks_at_what_does_not_start_become_rare() -> None:
    simulation = Simulation({MAIL: StartLimit(1, None, 1)}, itertools.repeat(10_000.0))
    simulation.submit(MAIL, 2)
    count = 0
    while simulation.now < START + 600:
        simulation.make_pass()
        assert simulation.next_at is not None
        simulation.go_on(simulation.next_at - simulation.now)
        count += 1
    assert count < 300


def test_keys_have_rates_of_their_own_beside_that_of_their_type() -> None:
    simulation = Simulation({MAIL: StartLimit(10, 2, 10)})
    for key in range(3):
        simulation.submit(MAIL, 1000, key)
    simulation.run(100.0, every(0.05))
    assert most_in_a_window(simulation.all_starts(MAIL), 10) == 6
    for key in range(3):
        starts = simulation.starts[MAIL, key]
        assert most_in_a_window(starts, 10) == 2
        assert len(starts) >= 19


def test_keys_beyond_the_bound_wait_and_all_of_them_start(tuning: Tuning) -> None:
    tuning.set(rate_keys=4, rate_stripes=2)
    simulation = Simulation({MAIL: StartLimit(None, 1, 2)})
    for key in range(20):
        simulation.submit(MAIL, 3, key)
    simulation.run(60.0, every(0.05))
    assert len(simulation.kept.get("types", {}).get(MAIL, {"keys": {}})["keys"]) <= 6
    for key in range(20):
        assert len(simulation.starts[MAIL, key]) == 3
        assert most_in_a_window(simulation.starts[MAIL, key], 2) == 1


def test_a_key_that_shares_a_window_gets_none_of_its_own_while_its_starts_count(
    tuning: Tuning,
) -> None:
    tuning.set(rate_keys=2)
    simulation = Simulation({MAIL: StartLimit(None, 1, 10)})
    simulation.submit(MAIL, 1, 1)
    simulation.submit(MAIL, 1, 3)
    simulation.run(5.0, every(0.5))
    simulation.submit(MAIL, 2, 2)
    simulation.run(20.0, every(0.5))
    assert most_in_a_window(simulation.starts[MAIL, 2], 10) == 1
    assert len(simulation.starts[MAIL, 2]) == 2


def test_a_key_that_did_not_start_anything_within_the_window_is_forgotten() -> None:
    simulation = Simulation({MAIL: StartLimit(None, 1, 2)})
    simulation.submit(MAIL, 1, 5)
    simulation.run(1.0, every(0.05))
    assert list(simulation.kept["types"][MAIL]["keys"]) == [f"{ORGANIZATION}|5"]
    simulation.run(2.0, every(0.05))
    assert simulation.kept == {}


def test_a_limit_of_keys_that_is_given_up_leaves_what_is_in_hand_to_the_type() -> None:
    limits = {MAIL: StartLimit(2, 2, 10)}
    rates = verbs.read_start_rates(None, limits, [], START)
    rates.take(job_of(MAIL, 5, 1))
    rates.take(job_of(MAIL, 6, 2))
    kept = json.loads(json.dumps(rates.to_keep()))
    for queued in ([], [job_of(MAIL, 5, 1)]):
        later = verbs.read_start_rates(kept, {MAIL: StartLimit(2, None, 10)}, queued, START + 5)
        assert later.left(lane_of(MAIL, 7)) == 0


def test_a_type_that_has_no_limit_any_more_is_forgotten() -> None:
    simulation = limited(5, 10)
    simulation.make_pass()
    assert verbs.read_start_rates(simulation.kept, {}, [], START + 1).to_keep() == {}


def test_a_pass_that_does_nothing_at_the_same_moment_keeps_what_it_read() -> None:
    simulation = Simulation({MAIL: StartLimit(50, 5, 10)}, itertools.cycle([0.0, 0.3, 1.7]))
    for key in range(20):
        simulation.submit(MAIL, 100, key)
    simulation.run(7.0, every(0.05))
    simulation.make_pass()
    again = json.loads(json.dumps(simulation.read().to_keep()))
    assert what_counts(again) == what_counts(simulation.kept)


def test_what_is_kept_is_small() -> None:
    busy = limited(100_000, 60)
    busy.submit(MAIL, 10**6)
    busy.run(65.0, every(0.6))
    assert len(json.dumps(busy.kept)) < 8_000
    keys = Simulation({MAIL: StartLimit(None, 1, 3600)})
    for key in range(2_000):
        keys.submit(MAIL, 1, 9 * 10**18 + key)
    keys.run(1.0, every(0.5))
    assert len(json.dumps(keys.kept)) < 100_000
