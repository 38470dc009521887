"""Tables and displays over records: what they show is what the history says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot

from qnewton_sk.reports.displays import HessianDisplay, LossCurveDisplay, ScheduleDisplay
from qnewton_sk.reports.tables import STEP_COLUMNS, compare_runs, step_table, steps_to_loss

HISTORY = {
    "step": np.array([1, 2, 3]),
    "phase": np.array(["first_order", "newton", "newton"]),
    "loss": np.array([2.0, 0.5, 0.125]),
    "gradient_norm": np.array([1.0, 0.1, 0.01]),
    "condition_number": np.array([np.nan, 100.0, 1000.0]),
    "oracle_sparsity": np.array([np.nan, 7.0, 8.0]),
    "backend": np.array(["", "lu", "qlsa"]),
    "classical_cost": np.array([np.nan, 2e-3, 2e-3]),
    "quantum_cost": np.array([np.nan, 1e-2, 1e-4]),
    "gradient_seconds": np.array([0.5, 0.25, 0.25]),
    "hessian_seconds": np.array([0.0, 0.125, 0.125]),
    "schedule_seconds": np.array([0.0, 0.125, 0.125]),
    "modelled_seconds": np.array([np.nan, 2e-3, 1e-4]),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def test_the_table_has_a_row_a_step_and_tells_the_backend():
    header, *rows = step_table(HISTORY).splitlines()
    assert header.split() == list(STEP_COLUMNS)
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert rows[2].split() == ["3", "0.125", "1.00e-02", "1.00e+03", "8", "qlsa", "2.00e-03", "1.00e-04"]


def test_a_step_without_a_solve_has_dashes_in_the_table():
    assert step_table(HISTORY).splitlines()[1].split()[3:] == ["-"] * 5


def test_every_line_of_the_table_is_equally_long():
    assert len({len(line) for line in step_table(HISTORY).splitlines()}) == 1


def test_an_unknown_column_is_named():
    with pytest.raises(ValueError, match=r"`columns` must be among .*; got \['los'\]"):
        step_table(HISTORY, columns=["los"])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20), st.floats(0, 10))
def test_steps_to_loss_is_the_first_step_that_is_low_enough(losses, target):
    steps = steps_to_loss({"loss": losses}, target)
    if steps is None:
        assert min(losses) > target
    else:
        assert losses[steps - 1] <= target
        assert all(loss > target for loss in losses[: steps - 1])


def test_runs_are_compared_at_the_lowest_loss_that_all_of_them_reach():
    slow = HISTORY | {"loss": [2.0, 1.0, 0.5], "modelled_seconds": [np.nan] * 3, "hessian_seconds": [0.0] * 3}
    title, _, newton, first_order = compare_runs({"newton": HISTORY, "sgd": slow}).splitlines()
    assert "0.5" in title
    assert newton.split() == ["newton", "2", "1", "0.002", "1", "0.501"]
    assert first_order.split() == ["sgd", "3", "1.25", "0", "1.25", "0.417"]


def test_stages_may_be_those_of_another_run_step_for_step():
    busy = HISTORY | {"hessian_seconds": [0.0, 5.0, 5.0], "modelled_seconds": [np.nan, 1.0, 1.0]}
    table = compare_runs({"lu": HISTORY, "qlsa": busy}, loss=0.125, stages_of={"qlsa": "lu"})
    _, _, lu, qlsa = table.splitlines()
    assert lu.split() == ["lu", "3", "1.5", "0.0021", "1.5", "0.501"]
    assert qlsa.split() == ["qlsa", "3", "1.5", "2", "3.5", "1.17"]


def test_a_run_that_never_reaches_the_loss_has_dashes():
    last = compare_runs({"newton": HISTORY}, loss=1e-9).splitlines()[-1]
    assert last.split() == ["newton"] + ["-"] * 5


def test_the_schedule_marks_the_cost_of_the_chosen_backend():
    display = ScheduleDisplay.from_history(HISTORY)
    marks = {mark.get_label(): mark.get_offsets().tolist() for mark in display.chosen_}
    assert marks == {"chosen: lu": [[2.0, 2e-3]], "chosen: qlsa": [[3.0, 1e-4]]}
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), [1e-2, 1e-4])


@pytest.mark.parametrize("by, abscissa", [("step", [1, 2, 3]), ("seconds", [0.5, 1.002, 1.5021])])
def test_the_loss_curve_has_the_axis_asked_for(by, abscissa):
    (line,) = LossCurveDisplay.from_history(HISTORY, by=by).lines_
    np.testing.assert_allclose(line.get_xdata(), abscissa)
    np.testing.assert_array_equal(line.get_ydata(), HISTORY["loss"])


def test_displays_draw_on_the_axes_given():
    figure, ax = pyplot.subplots()
    display = LossCurveDisplay.from_history(HISTORY, ax=ax, name="a")
    assert display.ax_ is ax and display.figure_ is figure
    assert len(pyplot.get_fignums()) == 1


def test_the_spectrum_shows_negative_eigenvalues_apart():
    display = HessianDisplay.from_matrix(np.diag([4.0, -3.0, 1.0]))
    positive, negative = display.ax_.get_lines()
    np.testing.assert_allclose(positive.get_ydata(), [4.0, 1.0])
    np.testing.assert_allclose(negative.get_xydata(), [[2.0, 3.0]])


def test_the_magnitude_is_a_picture_of_all_entries():
    display = HessianDisplay.from_matrix(np.diag([100.0, 1.0]), kind="magnitude")
    np.testing.assert_allclose(np.diag(display.ax_.get_images()[0].get_array()), [2.0, 0.0])


def test_the_row_sparsity_counts_every_row_once_a_share():
    display = HessianDisplay.from_matrix(np.ones((8, 8)), kind="sparsity")
    counts = [sum(bar.get_height() for bar in bars) for bars in display.ax_.containers]
    assert counts == [8, 8, 8, 8]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["50%", "75%", "90%", "95%"]


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: HessianDisplay.from_matrix(np.eye(2), kind="pie"), "`kind` must be one of"),
        (lambda: LossCurveDisplay.from_history(HISTORY, by="day"), "`by` must be"),
    ],
)
def test_unknown_kinds_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
