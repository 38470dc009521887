"""The break-even map: its numbers are those of the costs, its lines lie where these say, its legend is complete."""

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import rgb_to_hsv, to_rgb

from qnewton_sk import BreakEvenDisplay, CostEstimate, QuantumCost, SystemFacts

N, KAPPA = np.logspace(3, 9, 25).astype(int).tolist(), np.logspace(1, 7, 21).tolist()
GRID = [SystemFacts(n=n, kappa=kappa, row_nonzeros=10) for n in N for kappa in KAPPA]
COSTS = {"paper": QuantumCost(), "end to end": QuantumCost(assumptions="end_to_end")}


def cubic(facts, tol):
    return CostEstimate(1e-11 * float(facts.n) ** 3)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def display():
    return BreakEvenDisplay.from_facts(GRID, classical_cost=cubic)


def test_the_map_holds_the_break_even_gate_time_of_every_system(display):
    for view, cost in COSTS.items():
        assert display.break_even_seconds[view].shape == (len(KAPPA), len(N))
        for row, column in ((0, 0), (7, 3), (-1, -1)):
            facts = SystemFacts(n=N[column], kappa=KAPPA[row], row_nonzeros=10)
            expected = cost.break_even_gate_time(facts, 1e-2, 1e-11 * float(N[column]) ** 3)
            assert display.break_even_seconds[view][row, column] == expected


def test_every_line_lies_where_the_two_costs_are_equal(display):
    assert list(display.contours_["end to end"]) == [1e-18, 1e-12]
    for view, cost in COSTS.items():
        for gate_seconds, contour in display.contours_[view].items():
            (path,) = contour.get_paths()
            for n, kappa in path.vertices[:: max(len(path.vertices) // 10, 1)]:
                facts = SystemFacts(n=round(n), kappa=kappa, row_nonzeros=10)
                there = cost.break_even_gate_time(facts, 1e-2, 1e-11 * n**3)
                assert there == pytest.approx(gate_seconds, rel=0.15)  # linear between the points of the grid


def test_each_view_has_its_own_family_of_colours_and_slower_gates_are_darker(display):
    hues = {}
    for view, contours in display.contours_.items():
        colours = [rgb_to_hsv(to_rgb(contour.get_edgecolor()[0])) for contour in contours.values()]
        hues[view] = {round(hue, 1) for hue, _, _ in colours}
        values = [value for _, _, value in colours]
        assert values == sorted(values, reverse=True) and len(values) > 1
    assert not hues["paper"] & hues["end to end"]
    assert {contour.linestyles for lines in display.contours_.values() for contour in lines.values()} == {
        "solid"
    }


def test_the_legend_is_outside_and_names_every_view_and_gate_time(display):
    display.figure_.canvas.draw()
    assert display.legend_.get_window_extent().x0 > display.ax_.get_window_extent().x1
    assert display.legend_.get_window_extent().x1 <= display.figure_.bbox.x1
    assert display.legend_.get_title().get_text() == "break-even gate time (s)"
    assert [text.get_text() for text in display.legend_.get_texts()] == [
        "paper: 1e-18 (whole map)",
        "paper: 1e-12",
        "paper: 1e-09",
        "paper: 1e-06",
        "end to end: 1e-18",
        "end to end: 1e-12",
        "end to end: 1e-09 (nowhere)",
        "end to end: 1e-06 (nowhere)",
    ]


def test_the_legend_has_the_colours_of_the_lines(display):
    handles = dict(zip([t.get_text() for t in display.legend_.get_texts()], display.legend_.get_lines()))
    for view, contours in display.contours_.items():
        for gate_seconds, contour in contours.items():
            assert to_rgb(handles[f"{view}: {gate_seconds:.0e}"].get_color()) == to_rgb(
                contour.get_edgecolor()[0]
            )


def test_both_axes_are_logarithmic_and_labelled(display):
    ax = display.ax_
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "unknowns N" and ax.get_ylabel() == "condition number $\\kappa$"
    assert display.figure_ is ax.get_figure()


def test_it_draws_on_the_axes_given_and_its_own_views():
    figure, ax = pyplot.subplots()
    costs = {"dalzell2024": QuantumCost("dalzell2024")}
    display = BreakEvenDisplay.from_facts(
        reversed(GRID), costs=costs, classical_cost=cubic, gate_seconds=[1e-3, 1e-9], ax=ax
    )
    assert display.ax_ is ax and display.figure_ is figure and len(pyplot.get_fignums()) == 1
    assert {view: list(lines) for view, lines in display.contours_.items()} == {"dalzell2024": [1e-9, 1e-3]}


def test_the_default_competitor_is_lu():
    display = BreakEvenDisplay.from_facts(GRID)
    times = display.break_even_seconds["paper"]
    assert (np.diff(times, axis=1) > 0).all() and (np.diff(times, axis=0) < 0).all()


def test_systems_that_cannot_be_priced_have_no_break_even_and_no_line():
    costs = {"to 1e6": QuantumCost("costa2026", assumptions={"alpha": 1.0})}
    display = BreakEvenDisplay.from_facts(GRID, costs=costs, classical_cost=cubic)
    priced = np.array(KAPPA) <= 1e6
    assert np.isfinite(display.break_even_seconds["to 1e6"][priced]).all()
    assert np.isnan(display.break_even_seconds["to 1e6"][~priced]).all()
    lines = display.contours_["to 1e6"].values()
    assert lines and all(contour.get_paths()[0].vertices[:, 1].max() <= 1e6 for contour in lines)


@pytest.mark.parametrize(
    "facts",
    [
        [],
        GRID[:-1],
        [SystemFacts(n=10, kappa=kappa) for kappa in KAPPA],
        [SystemFacts(n=n) for n in N],
    ],
)
def test_facts_that_form_no_grid_are_named(facts):
    with pytest.raises(ValueError, match="`facts` must hold one SystemFacts for every pair"):
        BreakEvenDisplay.from_facts(facts, classical_cost=cubic)


@pytest.mark.parametrize("wrong", [[], [0.0, 1e-9], [-1e-9], [np.inf]])
def test_gate_times_that_are_not_positive_are_named(display, wrong):
    with pytest.raises(ValueError, match="`gate_seconds` must be positive, finite numbers of seconds"):
        display.plot(gate_seconds=wrong)


def test_more_views_than_colours_are_named():
    times = np.ones((2, 2))
    with pytest.raises(ValueError, match="at most 4 views"):
        BreakEvenDisplay([10, 20], [1, 2], dict.fromkeys("abcde", times)).plot()
