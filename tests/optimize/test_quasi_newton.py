"""Curvature pairs against the two-loop recursion; the line search against the conditions that it promises."""

import numpy as np
import pytest
from functions import Function, quadratic, rosenbrock, waves
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qnewton_sk.optimize.quasi_newton import (
    SUFFICIENT_CURVATURE,
    SUFFICIENT_DECREASE,
    CurvaturePairs,
    wolfe_search,
)

SEEDS = st.integers(0, 10**6)


def two_loops(pairs, g):
    """Algorithm 7.4 of Nocedal and Wright (2006)."""
    q, alphas = g.copy(), []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (s @ y))
        q = q - alphas[-1] * y
    s, y = pairs[-1]
    r = (s @ y) / (y @ y) * q
    for (s, y), alpha in zip(pairs, reversed(alphas)):
        r = r + s * (alpha - y @ r / (s @ y))
    return -r


def pairs_of(seed, n, count):
    """Steps and changes of the gradient of a random convex quadratic."""
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, n))
    A = B @ B.T / n + np.eye(n)
    steps = rng.standard_normal((count, n))
    return [(s, A @ s) for s in steps], rng.standard_normal(n)


@given(SEEDS, st.integers(1, 12), st.integers(1, 15), st.integers(1, 6))
def test_direction_is_that_of_the_two_loops_over_the_latest_pairs(seed, n, count, size):
    pairs, g = pairs_of(seed, n, count)
    memory = CurvaturePairs(n, float, size)
    for s, y in pairs:
        memory.add(s, y)
    assert memory.count == min(count, size)
    truth = two_loops(pairs[-size:], g)
    np.testing.assert_allclose(memory.direction(g), truth, rtol=1e-6, atol=1e-7 * np.abs(truth).max())


@given(SEEDS, st.integers(2, 8), st.lists(st.booleans(), min_size=1, max_size=12))
def test_pairs_without_positive_curvature_leave_no_trace(seed, n, good):
    pairs, g = pairs_of(seed, n, len(good))
    mixed, pure = CurvaturePairs(n, float, 4), CurvaturePairs(n, float, 4)
    for (s, y), is_good in zip(pairs, good):
        mixed.add(s, y if is_good else -y)
        if is_good:
            pure.add(s, y)
    assert mixed.count == pure.count
    np.testing.assert_array_equal(mixed.direction(g), pure.direction(g))


@pytest.mark.parametrize(
    "s, y",
    [
        ([1.0, 0.0], [0.0, 1.0]),
        ([1.0, 0.0], [1e-12, 1.0]),
        ([0.0, 0.0], [1.0, 0.0]),
        ([1.0, 0.0], [0.0, 0.0]),
        ([1.0, 0.0], [np.nan, 0.0]),
    ],
)
def test_degenerate_pairs_are_left_out(s, y):
    memory = CurvaturePairs(2, float)
    memory.add(np.array(s), np.array(y))
    assert memory.count == 0


@given(SEEDS, st.integers(1, 8), st.integers(0, 14))
def test_the_direction_descends(seed, n, count):
    pairs, g = pairs_of(seed, n, count)
    memory = CurvaturePairs(n, float, 5)
    for s, y in pairs:
        memory.add(s, y)
    assert g @ memory.direction(g) < 0


@given(SEEDS, st.integers(1, 6))
def test_as_many_conjugate_pairs_as_unknowns_give_newtons_direction(seed, n):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, n))
    A = B @ B.T / n + np.eye(n)
    memory = CurvaturePairs(n, float, n)
    for s in np.linalg.eigh(A)[1].T:
        memory.add(s, A @ s)
    g = rng.standard_normal(n)
    np.testing.assert_allclose(memory.direction(g), -np.linalg.solve(A, g), rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_without_pairs_the_first_step_is_no_longer_than_one(scale):
    g = scale * np.array([3.0, 4.0])
    direction = CurvaturePairs(2, float).direction(g)
    assert np.linalg.norm(direction) == pytest.approx(min(1.0, 5 * scale))
    np.testing.assert_allclose(direction / np.linalg.norm(direction), -g / np.linalg.norm(g))


def test_float32_stays():
    memory = CurvaturePairs(2, np.float32)
    g = np.ones(2, np.float32)
    assert memory.direction(g).dtype == np.float32
    memory.add(np.array([1, 0], np.float32), np.array([2, 1], np.float32))
    assert memory.count == 1 and memory.direction(g).dtype == np.float32


# -- the search ----------------------------------------------------------------------------------------------


def searched(f, theta, direction):
    value, gradient = f.value_and_grad(theta)
    found, cost = wolfe_search(f, theta, value, gradient, direction(gradient))
    return value, gradient, direction(gradient), found, cost


@settings(max_examples=150)
@given(SEEDS, st.floats(-6, 4), st.sampled_from([lambda seed: waves(seed), lambda seed: rosenbrock(4)]))
def test_both_conditions_hold_wherever_a_step_is_found(seed, magnitude, make):
    f = make(seed)
    theta = np.random.default_rng(seed).uniform(-2, 2, 4)
    value, g, d, found, _ = searched(f, theta, lambda g: -(10.0**magnitude) * g)
    assume(np.linalg.norm(g) > 1e-3)
    length, new, new_value, new_gradient = found
    slope = g @ d
    np.testing.assert_array_equal(new, theta + length * d)
    assert (new_value, new_gradient.tolist()) == (f._value(new), f._gradient(new).tolist())
    assert new_value <= value + SUFFICIENT_DECREASE * length * slope
    assert new_gradient @ d >= SUFFICIENT_CURVATURE * slope


def test_a_full_newton_step_is_taken_at_once():
    f = quadratic(np.diag([1.0, 9.0]), np.ones(2))
    _, _, _, found, cost = searched(f, np.zeros(2), lambda g: -g / np.array([1.0, 9.0]))
    assert found[0] == 1.0 and cost == 1.0


def test_cost_is_the_gradients_that_were_computed():
    f = rosenbrock(3)
    theta = np.array([-1.2, 1.0, 0.5])
    value, g = f.value_and_grad(theta)
    f.values = f.gradients = 0
    _, cost = wolfe_search(f, theta, value, g, -g)
    assert f.gradients > 1 and cost == f.gradients and f.values == 0


@pytest.mark.parametrize("factor", [1.0, 0.0, np.nan])
def test_a_direction_that_does_not_descend_is_given_up_unseen(factor):
    f = waves(0)
    _, _, _, found, cost = searched(f, np.ones(4), lambda g: factor * g)
    assert found is None and cost == 0 and (f.values, f.gradients) == (0, 1)


def test_a_line_that_falls_for_ever_ends_with_the_best_point_seen():
    f = Function(lambda x: -x.sum(), lambda x: -np.ones(2), None, 2)
    value, _, _, found, _ = searched(f, np.zeros(2), lambda g: -g)
    assert found[2] < value and f.gradients < 100


def test_overflow_far_out_is_stepped_back_from():
    f = Function(
        lambda x: x @ x if abs(x[0]) < 9 else np.inf,
        lambda x: 2 * x if abs(x[0]) < 9 else x * np.nan,
        None,
        1,
    )
    value, _, _, found, _ = searched(f, np.array([2.0]), lambda g: -1e3 * g)
    assert found is not None and found[2] < value


def test_a_wrong_gradient_finds_nothing():
    f = Function(lambda x: x @ x, lambda x: -2 * x, None, 2)  # the sign is wrong
    _, _, _, found, _ = searched(f, np.ones(2), lambda g: -g)
    assert found is None
