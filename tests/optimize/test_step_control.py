"""Step controls: the paper's update to the last bit, losses that never climb, damping and radius by their sources."""

import math

import numpy as np
import pytest
from functions import Entries, Function, quadratic, rosenbrock, waves
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk.conditioning.prepare import prepare
from qnewton_sk.optimize.controls import (
    SUFFICIENT_DECREASE,
    FixedStep,
    LineSearch,
    TrustRegion,
    resolve_step_control,
)
from qnewton_sk.optimize.newton import Newton
from qnewton_sk.optimize.step_control import MAX_DAMPING, ControlState, Direction
from qnewton_sk.scheduling.backends import classical_backends
from qnewton_sk.scheduling.scheduler import Scheduler
from qnewton_sk.systems.system_matrix import SystemMatrix

SEEDS = st.integers(0, 10**6)
MONOTONE = [TrustRegion(), LineSearch()]


def take(control, f, theta, x, predicted=1.0, state=None, shift=None):
    value, g = f.value_and_grad(theta)
    return control.take(f, theta, value, g, Direction(x, predicted, shift), state or control.initial())


def steps_of(control, f, theta, steps=40, **settings):
    """The records of a run with the exact Hessian and the classical solvers."""
    loop = Newton(
        Entries(), Scheduler(classical_backends()), control, prepare, max_iter=steps, tol=1e-9, **settings
    )
    run = list(loop.run(f, theta, np.random.RandomState(0)))
    return run, [record for progress in run for record in progress.steps]


# -- never climbing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", MONOTONE, ids=lambda c: type(c).__name__)
@given(SEEDS, st.floats(-8, 4), st.floats(-3, 3))
def test_whatever_the_direction_the_loss_does_not_climb(control, seed, magnitude, predicted):
    rng = np.random.default_rng(seed)
    f, theta = waves(seed), rng.uniform(-3, 3, 4)
    trial = take(control, f, theta, 10.0**magnitude * rng.standard_normal(4), predicted)
    assert trial.value <= f._value(theta)
    assert trial.value == f._value(trial.theta)
    if not trial.accepted:
        np.testing.assert_array_equal(trial.theta, theta)
        assert trial.state.damping > control.damping


@pytest.mark.parametrize("control", MONOTONE, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("make", [waves, lambda seed: rosenbrock(4)], ids=["waves", "rosenbrock"])
@given(seed=SEEDS)
def test_no_step_of_a_run_climbs(control, make, seed):
    f, theta = make(seed), np.random.default_rng(seed).uniform(-2, 2, 4)
    run, records = steps_of(control, f, theta)
    losses = [f._value(theta), *(record.loss for record in records)]
    assert all(after <= before for before, after in zip(losses, losses[1:]))
    assert run[-1].loss == f._value(run[-1].theta) < losses[0]


@pytest.mark.parametrize("start", [[-1.2, 1.0], [0.0, 0.0], [5.0, -5.0], [-3.0, 8.0]])
@pytest.mark.parametrize("control", MONOTONE, ids=lambda c: type(c).__name__)
def test_rosenbrock_is_solved(control, start):
    run, _ = steps_of(control, rosenbrock(2), np.array(start), steps=200)
    assert run[-1].converged
    np.testing.assert_allclose(run[-1].theta, [1.0, 1.0], atol=1e-6)


# -- the paper's step ----------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 6), st.floats(1e-3, 2), st.floats(0.01, 1.5), st.booleans())
def test_fixed_is_the_papers_update(seed, n, eps, beta, relative):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, n))
    A, b, theta = B @ B.T, rng.standard_normal(n), rng.standard_normal(n)
    control = FixedStep(eps, beta, clip=np.inf, relative=relative)
    run, records = steps_of(control, quadratic(A, b), theta, steps=1)
    H = A + eps * (np.abs(A).max() if relative else 1.0) * np.eye(n)
    truth = theta - beta * np.linalg.solve(H, A @ theta - b)
    np.testing.assert_allclose(run[-1].theta, truth, rtol=1e-5, atol=1e-6)
    assert records[0].damping == eps and records[0].step_size == beta


def test_relative_damping_is_a_share_of_the_largest_entry():
    matrix = SystemMatrix.from_entries(np.array([[1.0, -8.0], [-8.0, 2.0]]))
    control = FixedStep(0.5, relative=True)
    assert control.shift(control.initial(), matrix) == 4.0
    assert FixedStep(0.5).shift(control.initial(), matrix) == 0.5


def test_the_direction_is_clipped_entry_by_entry():
    f = quadratic(np.eye(3), np.zeros(3))
    trial = take(FixedStep(learning_rate=0.5, clip=2.0), f, np.zeros(3), np.array([1.0, -7.0, 3.0]))
    np.testing.assert_array_equal(trial.theta, [0.5, -1.0, 1.0])


def test_fixed_climbs_and_keeps_its_damping():
    f = quadratic(np.eye(2), np.zeros(2))
    control = FixedStep(0.3)
    trial = take(control, f, np.ones(2), np.ones(2))
    assert trial.accepted and trial.value > f._value(np.ones(2)) and not control.is_monotone
    assert trial.state == control.initial() == control.failed(control.initial())


def test_fixed_refuses_what_is_no_number():
    f = Function(lambda x: np.inf if x[0] > 1 else 0.0, lambda x: x, None, 1)
    trial = take(FixedStep(), f, np.zeros(1), np.array([5.0]))
    assert not trial.accepted and trial.value == 0.0 and not trial.theta.any()


# -- line search ---------------------------------------------------------------------------------------------


@given(SEEDS, st.floats(-4, 3), st.floats(0.1, 1.0))
def test_backtracking_meets_armijo_at_the_first_length_that_does(seed, magnitude, rate):
    f, theta = waves(seed), np.random.default_rng(seed).uniform(-3, 3, 4)
    value, g = f.value_and_grad(theta)
    x = -(10.0**magnitude) * g
    trial = take(LineSearch(learning_rate=rate), f, theta, x)
    enough = lambda t: f._value(theta + t * x) <= value + SUFFICIENT_DECREASE * t * (g @ x)  # noqa: E731
    lengths = [rate * 0.5**k for k in range(30)]
    first = next(t for t in lengths if enough(t))
    assert trial.accepted and trial.step_size == first
    np.testing.assert_array_equal(trial.theta, theta + first * x)


def test_a_direction_that_climbs_raises_the_damping():
    f = quadratic(np.eye(2), np.zeros(2))
    trial = take(LineSearch(damping=0.1), f, np.ones(2), np.ones(2))
    assert not trial.accepted and trial.state.damping == 0.2 and f.values == 0


def test_damping_raised_by_failures_comes_down_again_but_not_below_the_setting():
    control, f = LineSearch(damping=0.1), quadratic(np.eye(2), np.zeros(2))
    state = control.initial()
    for _ in range(3):
        state = control.failed(state)
    assert state.damping == pytest.approx(0.1 * 2 * 4 * 8)
    for expected in (6.4 / 3, 6.4 / 9, 6.4 / 27, 0.1, 0.1):
        state = take(control, f, np.ones(2), -np.ones(2), state=state).state
        assert state.damping == pytest.approx(expected)


def test_overflow_is_backtracked_from():
    f = Function(lambda x: np.inf if abs(x[0]) > 1 else -x[0], lambda x: -np.ones(1), None, 1)
    trial = take(LineSearch(), f, np.zeros(1), np.array([16.0]))
    assert trial.accepted and trial.theta[0] == 1.0


# -- trust region --------------------------------------------------------------------------------------------


@given(st.floats(2e-4, 3.0), st.floats(1e-6, 1e3))
def test_damping_follows_nielsen_after_a_step(ratio, damping):
    f = Function(lambda x: -ratio * x[0], lambda x: -np.ones(1), None, 1)
    state = ControlState(damping, growth=16.0, radius=1.0)
    trial = take(TrustRegion(), f, np.zeros(1), np.ones(1), predicted=1.0, state=state)
    assert trial.accepted and trial.state.growth == 2.0
    factor = max(1 / 3, 1 - (2 * min(ratio, 2.0) - 1) ** 3)
    assert trial.state.damping == pytest.approx(damping * factor, rel=1e-9)


def test_damping_doubles_ever_faster_after_rejections():
    f = quadratic(np.eye(1), np.zeros(1))
    state, seen = TrustRegion(damping=1.0).initial(), []
    for _ in range(4):
        trial = take(TrustRegion(), f, np.zeros(1), np.ones(1), state=state)
        state = trial.state
        assert not trial.accepted
        seen.append(state.damping)
    assert seen == [2.0, 8.0, 64.0, 1024.0]


@pytest.mark.parametrize("predicted", [0.0, -1.0, math.nan])
def test_a_model_that_promises_nothing_is_not_tried(predicted):
    f = quadratic(np.eye(1), np.zeros(1))
    trial = take(TrustRegion(), f, np.ones(1), -np.ones(1), predicted=predicted)
    assert not trial.accepted and f.values == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_rejected_and_the_radius_cut_to_a_tenth(value):
    f = Function(lambda x: value if x.any() else 1.0, lambda x: -np.ones(1), None, 1)
    trial = take(TrustRegion(), f, np.zeros(1), np.array([4.0]))
    assert not trial.accepted and trial.value == 1.0 and not trial.theta.any()
    assert trial.state.radius == pytest.approx(0.4)


@given(st.floats(0.1, 10), st.floats(-3, 20))
def test_a_rejected_step_cuts_the_radius_to_the_parabolas_minimum(slope, climb):
    # f(0) = 0, f'(0) = -slope, f(1) = climb: the parabola is least at slope / (2 (climb + slope))
    f = Function(lambda x: climb if x[0] else 0.0, lambda x: np.array([-slope]), None, 1)
    trial = take(TrustRegion(accept=1e3), f, np.zeros(1), np.ones(1), state=ControlState(1.0, radius=5.0))
    share = slope / (2 * (climb + slope)) if climb + slope > 0 else 0.25
    assert trial.state.radius == pytest.approx(min(max(share, 0.1), 0.5))
    assert trial.state.radius < 1.0  # shorter than the step that failed


@pytest.mark.parametrize(
    "ratio, shift, radius",
    [
        (0.9, None, 6.0),  # a damped step: three times its length
        (0.9, 1.0, 6.0),  # on the boundary
        (0.9, 0.0, 5.0),  # inside the ball: its size tells little
        (0.5, None, 2.0),
        (0.5, 1.0, 5.0),
    ],
)
def test_the_radius_after_a_step(ratio, shift, radius):
    f = Function(lambda x: -ratio * x[0] / 2, lambda x: -np.ones(1), None, 1)
    state = ControlState(1.0, radius=5.0)
    trial = take(TrustRegion(), f, np.zeros(1), np.array([2.0]), 1.0, state, shift)
    assert trial.accepted and trial.state.radius == radius


def test_a_poor_step_is_taken_but_makes_the_radius_shorter():
    f = Function(lambda x: -0.1 * x[0], lambda x: -np.ones(1), None, 1)
    trial = take(TrustRegion(), f, np.zeros(1), np.array([2.0]), 2.0, ControlState(1.0, radius=5.0))
    assert trial.accepted and 0.2 <= trial.state.radius <= 1.0


def test_the_shift_of_a_cut_step_becomes_the_damping():
    f = Function(lambda x: -0.5 * x[0], lambda x: -np.ones(1), None, 1)
    trial = take(TrustRegion(), f, np.zeros(1), np.ones(1), 1.0, ControlState(1e-3, radius=5.0), shift=7.0)
    assert trial.state.damping == pytest.approx(7.0)


def test_damping_stays_between_its_ends():
    f = Function(lambda x: -x[0], lambda x: -np.ones(1), None, 1)
    state = ControlState(1e-14, radius=1.0)
    assert take(TrustRegion(), f, np.zeros(1), np.ones(1), state=state).state.damping == 1e-14
    state = ControlState(MAX_DAMPING, radius=1.0)
    failed = TrustRegion().failed(state)
    assert failed.damping == MAX_DAMPING and TrustRegion().is_stuck(failed)


# -- all of them ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", MONOTONE, ids=lambda c: type(c).__name__)
@given(st.floats(0, 1e10), st.floats(2, 64))
def test_a_failure_raises_the_damping_even_from_zero_until_it_is_stuck(control, damping, growth):
    state = control.failed(ControlState(damping, growth, 1.0))
    assert damping < state.damping and state.growth == 2 * growth and state.radius == 0.25
    for _ in range(20):
        state = control.failed(state)
    assert control.is_stuck(state)


@pytest.mark.parametrize(
    "name, kind", [("trust_region", TrustRegion), ("line_search", LineSearch), ("fixed", FixedStep)]
)
def test_controls_by_name(name, kind):
    control = resolve_step_control(name, regularization=0.2, learning_rate_init=0.3)
    assert type(control) is kind
    assert (control.damping, control.learning_rate) == (0.2, 0.3)
    assert control.initial().damping == 0.2


def test_a_control_of_ones_own_is_taken_as_it_is():
    control = LineSearch(damping=7.0)
    assert resolve_step_control(control, regularization=1.0, learning_rate_init=1.0) is control


@pytest.mark.parametrize("wrong", ["newton", None, 3, object()])
def test_unknown_controls_are_refused(wrong):
    with pytest.raises(ValueError, match="`step_control` must be one of .*; got"):
        resolve_step_control(wrong, regularization=1.0, learning_rate_init=1.0)
