"""No sliding window ever holds more starts than its limit, whatever happens and whenever."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from django_jobs.engine.dispatch.rates import packed, unpacked
from tests.support.start_rates import Simulation, most_in_a_window
from tests.support.verbs import StartLimit

LANES = [("a", 0), ("a", 1), ("b", 0)]
limits = st.builds(
    StartLimit, st.one_of(st.none(), st.integers(1, 30)), st.one_of(st.none(), st.integers(1, 8)), st.integers(1, 4)
)
gaps = st.floats(0.001, 3.0)
delays = st.lists(st.floats(0.0, 2.0), min_size=1, max_size=20)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), gaps),
        st.tuples(st.just("passes"), st.floats(0.01, 0.2)),
        st.tuples(st.just("requeue"), st.sampled_from(LANES)),
        st.tuples(st.just("submit"), st.sampled_from(LANES)),
        st.tuples(st.just("set back"), st.floats(0.001, 1000.0)),
        st.tuples(st.just("withdraw"), st.none()),
    ),
    min_size=5,
    max_size=60,
)


def happen(simulation: Simulation, what: str, value: object) -> None:
    match what, value:
        case "pass", float(gap):
            simulation.go_on(gap)
            simulation.make_pass()
        case "passes", float(gap):
            simulation.run(2.0, itertools.repeat(gap))
        case "requeue", (str(job_type), int(key)):
            simulation.requeue((job_type, key))
        case "submit", (str(job_type), int(key)):
            simulation.submit(job_type, 40, key)
        case "withdraw", None:
            simulation.withdraw()
        case "set back", float(step):
            simulation.offset -= step


@settings(max_examples=150, deadline=None)
@given(of_a=limits, of_b=limits, starts_after=delays, told=st.booleans(), happened=happenings)
def test_no_sliding_window_holds_more_than_its_limit(
    of_a: StartLimit, of_b: StartLimit, starts_after: list[float], told: bool, happened: list[tuple[str, object]]
) -> None:
    simulation = Simulation({"a": of_a, "b": of_b}, itertools.cycle(starts_after), tells_starts=told)
    for lane in LANES:
        simulation.submit(lane[0], 40, lane[1])
    for what, value in happened:
        happen(simulation, what, value)
    simulation.go_on(3.0)
    for name, limit in simulation.limits.items():
        if limit.max_starts:
            assert most_in_a_window(simulation.all_starts(name), limit.seconds) <= limit.max_starts
        for lane in LANES:
            if lane[0] == name and limit.max_starts_per_key:
                assert most_in_a_window(simulation.starts[lane], limit.seconds) <= limit.max_starts_per_key


@given(st.lists(st.tuples(st.integers(0, 2**60), st.integers(0, 1000)), unique=True))
def test_packed_pairs_are_the_same_when_unpacked(pairs: list[tuple[int, int]]) -> None:
    assert unpacked(packed(pairs)) == sorted(pairs)
