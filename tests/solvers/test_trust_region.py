"""Exact trust-region steps against an eigendecomposition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems_to_solve import unmeasured

from qnewton_sk.conditioning.prepare import prepare
from qnewton_sk.solvers import trust_region as more_sorensen
from qnewton_sk.solvers.trust_region import RADIUS_TOLERANCE, MoreSorensen
from qnewton_sk.systems.solution import SolveStatus
from qnewton_sk.systems.system_matrix import SystemMatrix


def problem(seed, n, kind):
    """A matrix with the spectrum of its kind, and a right-hand side."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(n) * 10.0 ** rng.uniform(-3, 3)
    if kind == "definite":
        w = np.abs(w) + 1e-3
    elif kind == "singular":
        w = np.maximum(w, 0)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    H = (Q * w) @ Q.T
    return (H + H.T) / 2, rng.standard_normal(n) * 10.0 ** rng.uniform(-3, 3)


def model(H, b, x):
    return x @ H @ x / 2 - b @ x


def exact_minimum(H, b, radius):
    """The least value of the model inside the ball: bisection on the shift, the hard case by the lowest vector."""
    w, V = np.linalg.eigh(H)
    c = V.T @ b

    def x_of(shift):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(c == 0, 0.0, c / (w + shift))

    if w[0] > 0 and np.linalg.norm(x_of(0.0)) <= radius:
        return model(H, b, V @ x_of(0.0))
    low = max(0.0, -w[0])
    high = low + np.linalg.norm(b) / radius + 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if np.linalg.norm(x_of(middle)) > radius:
            low = middle
        else:
            high = middle
    x = x_of(high)
    x[0] += math.copysign(math.sqrt(max(radius**2 - x @ x, 0.0)), c[0])
    x *= min(1.0, radius / np.linalg.norm(x))
    return model(H, b, V @ x)


def solve(H, b, radius, shift=1e-3, tol=1e-10):
    system = unmeasured(SystemMatrix.from_entries(H), b, tol, shift, radius=radius)
    return MoreSorensen().solve(system), system


@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.sampled_from(["definite", "singular", "indefinite"]),
    st.floats(1e-3, 1e3),
    st.sampled_from([0.0, 1e-8, 1.0, 1e4]),
)
def test_it_is_as_good_as_the_exact_step_in_a_slightly_smaller_ball(seed, n, kind, radius, shift):
    H, b = problem(seed, n, kind)
    solution, system = solve(H, b, radius, shift)
    x = solution.x
    assert solution.status is SolveStatus.SUCCESS
    assert np.linalg.norm(x) <= radius * (1 + RADIUS_TOLERANCE) * (1 + 1e-9)
    least = (1 - RADIUS_TOLERANCE) ** 2 * exact_minimum(H, b, radius)  # More and Sorensen, section 4
    assert model(H, b, x) <= least + 1e-6 * abs(least)
    np.testing.assert_allclose(solution.image, H @ x + shift * x, atol=1e-9 * np.abs(H).max() * (1 + radius))
    s = solution.shift
    assert s >= 0 and np.linalg.eigvalsh(H)[0] + s >= -1e-6 * np.abs(H).max()


def test_inside_the_ball_it_is_the_plain_solution():
    H, b = problem(0, 8, "definite")
    x = np.linalg.solve(H, b)
    solution, _ = solve(H, b, 2 * np.linalg.norm(x), shift=0.0)
    np.testing.assert_allclose(solution.x, x, rtol=1e-8)
    assert solution.shift == 0.0 and solution.info["factorisations"] == 1


def test_the_hard_case_goes_along_the_lowest_eigenvector():
    H, b = np.diag([-1.0, 2.0, 3.0]), np.array([0.0, 1.0, 1.0])
    solution, _ = solve(H, b, 10.0)
    assert abs(solution.x[0]) > 7
    assert model(H, b, solution.x) <= exact_minimum(H, b, 7.5)


def test_a_retry_with_a_smaller_radius_starts_from_what_is_known(monkeypatch):
    H, b = problem(3, 10, "indefinite")
    matrix = SystemMatrix.from_entries(H)
    taken = []
    for radius in (1.0, 0.5, 0.25):
        system = unmeasured(matrix, b, 1e-10, 1e-3, radius=radius)
        solution = MoreSorensen().solve(system)
        alone, _ = solve(H, b, radius)
        assert abs(model(H, b, solution.x)) >= 0.9 * abs(exact_minimum(H, b, radius * (1 - RADIUS_TOLERANCE)))
        taken.append((solution.info["factorisations"], alone.info["factorisations"]))
    assert sum(retry for retry, _ in taken[1:]) < sum(alone for _, alone in taken[1:])
    other = MoreSorensen().solve(unmeasured(matrix, -2 * b, 1e-10, 1e-3, radius=0.25))
    assert model(H, -2 * b, other.x) < 0  # another right-hand side starts anew


def test_few_factorisations_do_where_the_shift_is_a_good_guess():
    counts = []
    for seed in range(40):
        H, b = problem(seed, 30, "indefinite")
        lowest = np.linalg.eigvalsh(H)[0]
        solution, _ = solve(H, b, 1.0, shift=-2 * lowest)
        counts.append(solution.info["factorisations"])
    assert np.mean(counts) < 3


@pytest.mark.parametrize("shift", [1e-3, 1e3])
@pytest.mark.parametrize("scale", [1e-9, 1.0])
def test_few_do_for_a_matrix_of_any_size_whatever_the_damping_of_earlier_steps(scale, shift):
    counts = []
    for seed in range(40):
        H, b = problem(seed, 20, "indefinite")
        H, b = H / np.abs(H).max(), b / np.linalg.norm(b)
        counts.append(solve(scale * H, scale * b, 1.0, shift)[0].info["factorisations"])
    assert np.mean(counts) < 3.5 and max(counts) <= 8


def test_a_shift_far_above_the_diagonal_is_a_good_guess_if_the_matrix_is_large():
    rng = np.random.default_rng(0)
    B = rng.standard_normal((40, 40))
    H = (B + B.T) / 2
    np.fill_diagonal(H, 1e-3)
    b = rng.standard_normal(40)
    shift = -1.5 * np.linalg.eigvalsh(H)[0]
    radius = np.linalg.norm(np.linalg.solve(H + shift * np.eye(40), b))
    assert solve(H, b, radius, shift)[0].info["factorisations"] == 1


def test_a_limit_on_the_factorisations_still_gives_a_step_that_descends(monkeypatch):
    monkeypatch.setattr(more_sorensen, "MAX_FACTORISATIONS", 3)
    for seed in range(30):
        H, b = problem(seed, 10, "indefinite")
        solution, _ = solve(H, b, 1e-2)
        if solution.status.usable:
            assert np.linalg.norm(solution.x) <= 1e-2 * (1 + RADIUS_TOLERANCE) and model(H, b, solution.x) < 0
        else:
            assert solution.status is SolveStatus.NOT_POSITIVE_DEFINITE


@pytest.mark.parametrize("place", ["matrix", "diagonal", "rhs"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_reported(place, value):
    H, b = problem(0, 5, "indefinite")
    if place == "rhs":
        b[2] = value
    else:
        i, j = (1, 3) if place == "matrix" else (2, 2)
        H[i, j] = H[j, i] = value
    solution, _ = solve(H, b, 1.0)
    assert solution.status is SolveStatus.NON_FINITE and not solution.x.any()


def test_a_zero_matrix_gives_the_gradient_step_and_a_zero_right_hand_side_none():
    b = np.array([3.0, 4.0])
    solution, _ = solve(np.zeros((2, 2)), b, 2.0)
    np.testing.assert_allclose(solution.x / np.linalg.norm(solution.x), b / 5, atol=1e-12)
    assert abs(np.linalg.norm(solution.x) - 2.0) <= 2 * RADIUS_TOLERANCE
    nothing, _ = solve(np.eye(2), np.zeros(2), 1.0)
    assert not nothing.x.any()


def test_a_system_without_a_radius_is_rejected():
    system = prepare(SystemMatrix.from_entries(np.eye(2)), np.ones(2), 1e-6, 1.0)
    assert "no radius" in MoreSorensen().rejection_reason(system.facts)


def test_single_precision():
    H, b = problem(1, 20, "indefinite")
    solution, _ = solve(H.astype(np.float32), b.astype(np.float32), 1.0, tol=1e-4)
    assert solution.x.dtype == np.float32
    assert model(H, b, solution.x.astype(float)) <= 0.99 * exact_minimum(H, b, 0.75)


def test_single_precision_survives_a_huge_shift():
    H, b = problem(1, 20, "indefinite")
    for shift in (1e14, 1e16, 1e25):
        solution, _ = solve(
            (1e-3 * H).astype(np.float32), (1e-6 * b).astype(np.float32), 1.0, shift, tol=1e-4
        )
        assert np.isfinite(solution.x).all() and solution.status.usable
