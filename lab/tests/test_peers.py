"""The benchmark of peers: how it reckons and draws, and what its table says. It measures nothing here."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.benchmarks.peers import environments, figures, plot

ROUNDS = [
    {"django_jobs": {"drain": 6_000.0, "p50": 4.0, "idle": 1.0}, "slow & old": {"drain": 3_000.0, "p50": 2.0}},
    {"django_jobs": {"drain": 5_000.0, "p50": 5.0, "idle": 1.0}, "slow & old": {"drain": 1_000.0, "p50": 2.0}},
    {"django_jobs": {"drain": 5_500.0, "p50": 6.0, "idle": 1.0}, "slow & old": {"idle": 0.0}},
]
PEERS = ["django_jobs", "slow & old", "never ran"]


def test_a_spread_is_a_median_and_what_it_lies_between() -> None:
    assert figures.figures(ROUNDS, "django_jobs", "drain") == (5_500, 5_000, 6_000)
    assert figures.figures(ROUNDS, "slow & old", "drain") == (2_000, 1_000, 3_000)


def test_what_was_never_measured_has_no_spread() -> None:
    assert figures.figures(ROUNDS, "never ran", "drain") is None
    assert figures.ratios(ROUNDS, "never ran", "drain") is None


def test_ratios_are_of_one_round_and_above_one_where_ours_does_more() -> None:
    assert figures.ratios(ROUNDS, "slow & old", "drain") == (3.5, 2.0, 5.0)


def test_ratios_are_below_one_where_ours_costs_more() -> None:
    assert figures.ratios(ROUNDS, "slow & old", "p50") == (0.45, 0.4, 0.5)


def test_nothing_is_compared_with_nought() -> None:
    assert figures.ratios(ROUNDS, "slow & old", "idle") is None


def test_a_table_has_the_best_first_and_leaves_out_who_has_no_figure() -> None:
    assert figures.table(ROUNDS, "p50", PEERS).splitlines()[2:] == [
        "| slow & old | 2.0 | 0.45 (0.40 to 0.50) |",
        "| django_jobs | 5.0 (4.0 to 6.0) |  |",
    ]


def test_the_overview_has_a_row_for_everybody() -> None:
    assert figures.overview(ROUNDS, PEERS, ["drain", "p50"], compared=False).splitlines()[2:] == [
        "| django_jobs | 5,500 (5,000 to 6,000) | 5.0 (4.0 to 6.0) |",
        "| slow & old | 2,000 (1,000 to 3,000) | 2.0 |",
        "| never ran |  |  |",
    ]


def test_the_ratios_have_a_row_for_all_but_ours() -> None:
    assert figures.overview(ROUNDS, PEERS, ["drain", "p50"], compared=True).splitlines()[2:] == [
        "| slow & old | 3.50 (2.00 to 5.00) | 0.45 (0.40 to 0.50) |",
        "| never ran |  |  |",
    ]


def test_each_round_begins_with_another_peer() -> None:
    assert figures.rotated("abc", 4) == ["b", "c", "a"]


def test_an_axis_goes_from_a_power_of_ten_to_another() -> None:
    axis = plot.Axis([20, 3_000])
    assert axis.ticks() == [10, 100, 1_000, 10_000]
    assert axis.place(10) == 0
    assert axis.place(100) == pytest.approx(plot.BAR_LENGTH / 3)
    assert axis.place(10_000) == plot.BAR_LENGTH
    assert axis.place(0) == 0


def test_the_plot_is_well_formed_and_names_every_peer_that_has_a_figure() -> None:
    root = ElementTree.fromstring(plot.draw(ROUNDS, PEERS, "three rounds"))
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    bars = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    assert words.count("slow & old") == 3
    assert "never ran" not in words
    assert "5,500 (5,000 to 6,000)" in words
    assert len(bars) == 1 + 6


def test_the_table_names_an_adapter_for_each_peer_and_what_it_needs() -> None:
    adapters = Path(environments.TABLE).parent / "adapters"
    table = environments.read_table()
    assert next(iter(table)) == figures.OURS
    for peer in table.values():
        module, _, kind = peer.adapter.partition(":")
        assert f"\nclass {kind}(" in (adapters / f"{module}.py").read_text()
        assert bool(peer.requirements) == bool(peer.environment)
        assert all("<" in requirement for requirement in peer.requirements)
