"""Tables and displays over records: what they show is what the history says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot
from matplotlib.colors import to_rgba

from qnewton_sk import (
    HessianDisplay,
    LossCurveDisplay,
    QNewtonClassifier,
    QNewtonRegressor,
    ScheduleDisplay,
    Scheduler,
    classical_backends,
    quantum_backend,
)
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


def test_the_step_table_has_one_row_per_step_with_its_backend():
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


def test_measured_stages_may_come_from_another_run():
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


def is_blue(colour):
    red, _, blue, _ = to_rgba(colour)
    return blue > red


def test_classical_is_blue_and_quantum_is_orange():
    names = ["", "qlsa", "lu", "cg", "cg+annealer", "qlsa"]
    history = {name: np.resize(column, 6) for name, column in HISTORY.items()} | {"backend": np.array(names)}
    history["step"] = np.arange(1, 7)
    display = ScheduleDisplay.from_history(history, quantum_backends=["qlsa", "annealer"])
    assert [is_blue(line.get_color()) for line in display.lines_] == [True, False]
    blue = {
        mark.get_label().removeprefix("chosen: "): is_blue(mark.get_facecolor()[0])
        for mark in display.chosen_
    }
    assert blue == {"lu": True, "cg": True, "qlsa": False, "cg+annealer": False}
    assert len({tuple(mark.get_facecolor()[0]) for mark in display.chosen_}) == 4
    assert len({mark.get_paths()[0].vertices.tobytes() for mark in display.chosen_}) == 4


@pytest.mark.filterwarnings("ignore:QNewton\\w+ has not converged")
def test_the_schedule_asks_the_scheduler_which_backends_are_quantum():
    backends = [*classical_backends(), quantum_backend("attosecond").set_params(name="sycamore")]
    net = QNewtonClassifier((2,), scheduler=Scheduler(backends), max_iter=3, random_state=0)
    net.fit(np.arange(12.0).reshape(6, 2) / 12, [0, 1, 0, 1, 0, 1])
    display = ScheduleDisplay.from_estimator(net)
    assert set(net.schedule_) == {"sycamore"}
    assert [mark.get_label() for mark in display.chosen_] == ["chosen: sycamore"]
    assert not is_blue(display.chosen_[0].get_facecolor()[0])


def test_the_legend_of_a_schedule_is_beside_the_axes():
    display = ScheduleDisplay.from_history(HISTORY)
    display.figure_.canvas.draw()
    legend, axes = display.legend_.get_window_extent(), display.ax_.get_window_extent()
    assert legend.x0 > axes.x1
    assert legend.x1 <= display.figure_.bbox.x1
    assert [text.get_text() for text in display.legend_.get_texts()] == [
        "classical cost",
        "quantum cost",
        "chosen: lu",
        "chosen: qlsa",
    ]


def test_a_kind_of_backend_that_was_never_available_has_no_line():
    display = ScheduleDisplay.from_history(HISTORY | {"quantum_cost": np.full(3, np.nan)})
    assert [line.get_label() for line in display.lines_] == ["classical cost"]


def test_a_schedule_without_solves_says_so():
    history = HISTORY | {"backend": np.array(["", "", ""]), "phase": np.array(["first_order"] * 3)}
    display = ScheduleDisplay.from_history(history)
    assert [text.get_text() for text in display.ax_.texts] == [
        "No linear system was solved:\nthe fit took only first-order steps."
    ]
    assert (display.lines_, display.chosen_, display.legend_) == ([], [], None)
    assert display.ax_.get_yscale() == "linear" and list(display.ax_.get_xticks()) == []


def test_a_loss_curve_without_steps_says_so():
    display = LossCurveDisplay.from_history({"step": [], "loss": []})
    assert [text.get_text() for text in display.ax_.texts] == ["No step was taken."]


def test_losses_that_are_not_positive_have_a_linear_axis():
    assert LossCurveDisplay.from_history({"step": [1, 2], "loss": [1.0, -1.0]}).ax_.get_yscale() == "linear"
    assert LossCurveDisplay.from_history(HISTORY).ax_.get_yscale() == "log"


def test_a_single_step_is_seen_as_a_point():
    (line,) = LossCurveDisplay.from_history({"step": [1], "loss": [1.0]}).lines_
    assert line.get_marker() == "o"
    (line,) = LossCurveDisplay.from_history(HISTORY).lines_
    assert line.get_marker() == "None"


@pytest.mark.parametrize(
    "draw, title, labels",
    [
        (LossCurveDisplay.from_history, "Training loss by step", ("step", "training loss")),
        (
            ScheduleDisplay.from_history,
            "Modelled cost of every solve, and the backend that was chosen",
            ("step", "modelled cost of the solve (s)"),
        ),
    ],
)
def test_displays_of_a_history_are_titled_unless_the_axes_are(draw, title, labels):
    ax = draw(HISTORY).ax_
    assert ax.get_title() == title and (ax.get_xlabel(), ax.get_ylabel()) == labels
    _, given = pyplot.subplots()
    given.set_title("mine")
    assert draw(HISTORY, ax=given).ax_.get_title() == "mine"


def test_steps_are_whole_numbers_on_the_axis():
    display = LossCurveDisplay.from_history(HISTORY)
    display.figure_.canvas.draw()
    assert all(tick == int(tick) for tick in display.ax_.get_xticks())
    _, logarithmic = pyplot.subplots()
    logarithmic.set_xscale("log")
    assert LossCurveDisplay.from_history(HISTORY, ax=logarithmic).ax_.get_xscale() == "log"


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
    assert positive.get_marker() != negative.get_marker()
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("index", "|eigenvalue|")


def test_eigenvalues_of_zero_are_counted_in_the_legend():
    display = HessianDisplay.from_matrix(np.diag([4.0, -3.0, 0.0, 0.0]))
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [
        "positive: 1",
        "negative: 1",
        "zero: 2",
    ]
    empty = HessianDisplay.from_matrix(np.zeros((2, 2)))
    assert [text.get_text() for text in empty.ax_.texts] == ["All eigenvalues are zero."]


def test_the_magnitude_is_a_picture_of_all_entries():
    display = HessianDisplay.from_matrix(np.diag([100.0, 1.0]), kind="magnitude")
    np.testing.assert_allclose(np.diag(display.ax_.get_images()[0].get_array()), [2.0, 0.0])
    assert display.ax_.get_xlabel() == display.ax_.get_ylabel() == "parameter"


def test_the_layers_are_named_at_the_middle_of_their_parameters():
    layers = {"first": 6, "second": 2}
    ax = HessianDisplay.from_matrix(np.eye(8), layers=layers, kind="magnitude").ax_
    for axis, ticks in ((ax.xaxis, ax.get_xticks()), (ax.yaxis, ax.get_yticks())):
        np.testing.assert_allclose(ticks, [2.5, 6.5])
        assert [label.get_text() for label in axis.get_ticklabels()] == ["first", "second"]
    horizontal, vertical = ax.get_lines()
    assert set(horizontal.get_ydata()) == set(vertical.get_xdata()) == {5.5}


@pytest.mark.filterwarnings("ignore:QNewton\\w+ has not converged")
def test_a_fitted_net_names_its_layers():
    X = np.arange(12.0).reshape(6, 2) / 12
    net = QNewtonRegressor((3, 4), max_iter=2, random_state=0).fit(X, X[:, 0])
    display = HessianDisplay.from_estimator(net, X, X[:, 0], kind="magnitude")
    assert display.layers == {"layer 1": 9, "layer 2": 16, "layer 3": 5}
    assert sum(display.layers.values()) == len(display.matrix)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == list(display.layers)


@pytest.mark.parametrize(
    "kind, title",
    [
        ("spectrum", "Spectrum of the Hessian, 2 eigenvalues"),
        ("magnitude", "Entries of the Hessian"),
        ("sparsity", "Sparsity of the rows of the Hessian"),
    ],
)
def test_every_display_of_a_hessian_has_a_title(kind, title):
    assert HessianDisplay.from_matrix(np.eye(2), kind=kind).ax_.get_title() == title


def test_the_row_sparsity_counts_every_row_once_per_share():
    display = HessianDisplay.from_matrix(np.ones((8, 8)), kind="sparsity")
    counts = [sum(bar.get_height() for bar in bars) for bars in display.ax_.containers]
    assert counts == [8, 8, 8, 8]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["50%", "75%", "90%", "95%"]


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: HessianDisplay.from_matrix(np.eye(2), kind="pie"), "`kind` must be one of"),
        (lambda: LossCurveDisplay.from_history(HISTORY, by="day"), "`by` must be"),
        (
            lambda: HessianDisplay.from_matrix(np.eye(3), layers={"first": 2}, kind="magnitude"),
            "`layers` must hold 3 parameters in all; got {'first': 2}",
        ),
    ],
)
def test_unknown_kinds_and_layers_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
