"""When "auto" goes from one kind of step to the next."""

import math

import autograd.numpy as anp
import cases
import numpy as np
import pytest
from cases import LOSSES, NETS
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from qnewton_sk.curvature.auto import (
    FLOOR_GAIN,
    GAUSS_NEWTON_WINDOW,
    MAX_CHEAP_STEP_COST,
    MAX_POOR_WINDOWS,
    MAX_STEP_COST,
    MAX_WINDOW,
    MIN_GAUSS_NEWTON_GAIN,
    MIN_WINDOW,
    NEWTON_GAIN,
    NEWTON_STEPS,
    PLATEAU_SHARE,
    SQUARES_GAIN,
    SQUARES_WINDOWS,
    STALL_GAIN,
    AutoCurvature,
    AutoState,
    gauss_newton_step_cost,
    newton_step_cost,
)
from qnewton_sk.curvature.matrices import GaussNewton, Hessian
from qnewton_sk.nets import Objective

AUTO = AutoCurvature()
SQUARES, LOGISTIC = NETS[0], NETS[2]


def follow(state, falls, gradients=1.0, value=1.0):
    """The states after steps that multiply the loss by exp(-fall)."""
    for fall in falls:
        after = value * math.exp(-fall)
        state = AUTO.after(state, value, after, gradients)
        value = after
        yield state


def kinds(*arguments, **settings):
    return [state.kind for state in follow(*arguments, **settings)]


@pytest.mark.parametrize("case", [*NETS, *LOSSES], ids=str)
def test_a_fit_starts_with_first_order_steps_unless_newton_steps_are_cheap(case):
    objective = case.objective()
    squares = case.loss == "squared_error"
    kind, price = ("gauss_newton", gauss_newton_step_cost) if squares else ("hessian", newton_step_cost)
    cost = price(objective.network, objective.n_samples)
    state = AUTO.initial(objective)
    if cost <= MAX_CHEAP_STEP_COST:
        assert state.kind == kind
    else:
        assert (state.kind, state.next_kind, state.step_cost) == ("first_order", kind, cost)
    assert AUTO.initial(objective, batches=True).kind == "gauss_newton"


@pytest.mark.parametrize("weight, alpha, floor", [(1.0, 0.0, 0.0), (1.0, 2.0, 1.68), (3.0, 2.0, math.inf)])
def test_a_net_with_as_many_parameters_as_samples_may_come_down_to_the_penalty(weight, alpha, floor):
    """Merged samples count as often as they occurred; 168 of the 177 parameters are weights."""
    case = LOGISTIC.but(widths=(20, 8, 1), n=100, activations=("tanh",))
    objective = case.objective()
    samples = objective.X, objective.targets, np.full(objective.n_samples, weight)
    weighted = Objective(objective.network, *samples, alpha)
    assert weighted.n_params == 177 and AUTO.initial(weighted).floor == pytest.approx(floor)


def test_large_nets_start_with_first_order_steps_at_the_price_of_products():
    case = LOGISTIC.but(widths=(300, 40, 3), n=200, activations=("tanh",))
    state = AUTO.initial(case.objective())
    assert (state.kind, state.step_cost) == ("first_order", MAX_STEP_COST)


@pytest.mark.parametrize("partition", ["full", "layer"])
def test_the_curvature_of_each_kind(partition):
    auto = AutoCurvature(partition)
    assert auto.next_curvature(AutoState("first_order")) is None
    for kind, curvature in (("gauss_newton", GaussNewton), ("hessian", Hessian)):
        part = auto.next_curvature(AutoState(kind))
        assert type(part) is curvature and part.partition == partition


@pytest.mark.parametrize("case", [SQUARES, LOGISTIC], ids=str)
@pytest.mark.parametrize("partition", ["full", "layer"])
def test_its_blocks_are_those_of_the_exact_hessian(case, partition):
    objective, theta = case.objective(), case.theta()
    own, exact = (c(partition).blocks(objective, theta) for c in (AutoCurvature, Hessian))
    assert len(own) == len(exact)
    for block, truth in zip(own, exact):
        np.testing.assert_array_equal(block.matrix.entries(), truth.matrix.entries())


def test_a_users_loss_called_squared_error_does_not_start_with_gauss_newton():
    def squared_error(y, z):
        return anp.sum((z - y) ** 2, axis=1)

    case = cases.Case("own", (300, 40, 2), ("tanh",), squared_error, n=100)
    assert AUTO.initial(case.objective()).kind == "first_order"


FAR_DOWN = AutoState("first_order", first_loss=2 / PLATEAU_SHARE)  # `follow` starts at a loss of one
WINDOW = round(MAX_WINDOW)
COSTS = pytest.mark.parametrize("step_cost", [12.0, 50.0, MAX_STEP_COST])


def window_of(step_cost):
    return round(min(max(step_cost, MIN_WINDOW), MAX_WINDOW))


def test_poor_windows_far_down_lead_to_the_hessian():
    flat = kinds(FAR_DOWN, [0.0] * MAX_POOR_WINDOWS * WINDOW)
    assert flat == ["first_order"] * (MAX_POOR_WINDOWS * WINDOW - 1) + ["hessian"]


@COSTS
def test_a_plateau_of_a_net_that_could_interpolate_leads_to_the_hessian_at_once(step_cost):
    window = window_of(step_cost / 2)
    state = AutoState("first_order", step_cost=step_cost, floor=0.0)
    assert kinds(state, [0.0] * window) == ["first_order"] * (window - 1) + ["hessian"]
    enough = NEWTON_GAIN / step_cost
    assert set(kinds(state, [1.1 * enough] * window)) == {"first_order"}
    assert kinds(state, [0.9 * enough] * window)[-1] == "hessian"


@COSTS
@pytest.mark.parametrize("next_kind", ["gauss_newton", "hessian"])
def test_steps_that_gain_little_end_once_they_have_cost_as_much_as_newton_steps_would(step_cost, next_kind):
    state = AutoState("first_order", step_cost=step_cost, next_kind=next_kind)
    due = math.ceil(NEWTON_STEPS * step_cost)
    found = kinds(state, [0.0] * 2 * due)
    assert due - 1 <= found.index(next_kind) <= due + 2 * window_of(step_cost)


@COSTS
def test_steps_on_a_sum_of_squares_go_on_while_they_are_as_fast_as_gauss_newton(step_cost):
    state = AutoState("first_order", step_cost=step_cost, next_kind="gauss_newton")
    fast = 1.1 * SQUARES_GAIN / step_cost
    many = 3 * math.ceil(NEWTON_STEPS * step_cost)
    assert set(kinds(state, [fast] * many)) == {"first_order"}


@COSTS
def test_slower_progress_on_a_sum_of_squares_leads_to_gauss_newton_unless_the_floor_is_near(step_cost):
    state = AutoState("first_order", step_cost=step_cost, next_kind="gauss_newton")
    windows = SQUARES_WINDOWS * window_of(step_cost)
    assert kinds(state, [0.9 * SQUARES_GAIN / step_cost] * windows)[-1] == "gauss_newton"
    assert kinds(state, [1.1 * FLOOR_GAIN / step_cost] * windows)[-1] == "gauss_newton"
    assert set(kinds(state, [0.9 * FLOOR_GAIN / step_cost] * windows)) == {"first_order"}


def test_two_poor_windows_of_gauss_newton_lead_to_the_hessian():
    flat = kinds(AutoState("gauss_newton"), [MIN_GAUSS_NEWTON_GAIN / 2] * 2 * GAUSS_NEWTON_WINDOW)
    assert flat == ["gauss_newton"] * (2 * GAUSS_NEWTON_WINDOW - 1) + ["hessian"]


@pytest.mark.parametrize(
    "state, gain, window",
    [
        (FAR_DOWN, STALL_GAIN * WINDOW / MAX_STEP_COST, WINDOW),
        (AutoState("gauss_newton"), MIN_GAUSS_NEWTON_GAIN * GAUSS_NEWTON_WINDOW, GAUSS_NEWTON_WINDOW),
    ],
)
def test_progress_keeps_the_kind(state, gain, window):
    assert set(kinds(state, [1.1 * gain / window] * 10 * window)) == {state.kind}


@pytest.mark.parametrize(
    "state, window, patience",
    [(FAR_DOWN, WINDOW, MAX_POOR_WINDOWS), (AutoState("gauss_newton"), GAUSS_NEWTON_WINDOW, 2)],
)
def test_a_good_window_between_poor_ones_forgives(state, window, patience):
    poor, good = [0.0] * window, [0.5] * window
    *_, last = follow(state, poor * (patience - 1) + good + poor)
    assert last._replace(total=0.0) == state._replace(poor=1)
    *_, last = follow(state, poor * (patience - 1) + good + poor * patience)
    assert last.kind == "hessian"


def test_first_order_windows_count_gradients_newton_windows_steps():
    cheap = kinds(FAR_DOWN, [0.0] * 500, gradients=0.5)
    dear = kinds(FAR_DOWN, [0.0] * 100, gradients=3.0)
    assert cheap.index("hessian") + 1 == 2 * MAX_POOR_WINDOWS * WINDOW
    assert dear.index("hessian") + 1 == MAX_POOR_WINDOWS * WINDOW // 3
    assert (
        kinds(AutoState("gauss_newton"), [0.0] * 100, gradients=0.5).index("hessian") + 1
        == 2 * GAUSS_NEWTON_WINDOW
    )


def test_the_hessian_stays():
    state = AutoState("hessian")
    assert all(later == state for later in follow(state, [0.0, 5.0, -1.0] * 20))


@pytest.mark.parametrize("kind", ["first_order", "gauss_newton", "hessian"])
def test_an_exhausted_early_phase_leads_to_the_hessian(kind):
    assert AUTO.exhausted(AutoState(kind, poor=1)) == AutoState("hessian")


@given(
    st.sampled_from(["first_order", "gauss_newton"]),
    st.floats(allow_nan=True),
    st.floats(allow_nan=True),
    st.floats(0, 5),
)
def test_no_loss_is_too_odd(kind, before, value, gradients):
    state = AUTO.after(AutoState(kind), before, value, gradients)
    assert state.gained >= 0 and math.isfinite(state.spent)


@given(st.floats(1e-6, 1e6), st.floats(1e-3, 3))
def test_gains_do_not_depend_on_the_unit_of_the_loss(scale, fall):
    here, there = (
        AUTO.after(AutoState("first_order"), value, value * math.exp(-fall), 1.0) for value in (1.0, scale)
    )
    assert there == here._replace(gained=there.gained, first_loss=scale)
    assert there.gained == pytest.approx(here.gained)


def test_it_can_be_cloned_and_keeps_nothing():
    auto = AutoCurvature("layer")
    auto.after(auto.initial(LOGISTIC.objective()), 1.0, 0.5, 1.0)
    assert vars(auto) == vars(clone(auto)) == {"partition": "layer"}
