"""The summary of a Hessian: exact against all eigenvalues, bounds on the right side, budgets that hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk import SystemMatrix, oracle_sparsity
from qnewton_sk.conditioning import hessian_summary, sampled_row_sparsity

SEEDS = st.integers(0, 10**6)
KEYS = {
    "n",
    "largest_eigenvalue",
    "smallest_eigenvalue",
    "smallest_magnitude",
    "n_negative",
    "condition_number",
    "trace",
    "row_sparsity",
    "effective_parameters",
    "how",
    "seconds",
}


def matrix_with(values, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((len(values), len(values))))[0]
    A = scale * (Q * values) @ Q.T
    return (A + A.T) / 2


def lazy(A, calls):
    def product(v):
        calls.append(1)
        return A @ v

    return SystemMatrix(len(A), assemble=lambda: pytest.fail("assembled"), product=product, product_flops=1.0)


@given(SEEDS, st.integers(1, 20), st.booleans(), st.sampled_from([1e-30, 1.0, 1e30]))
def test_entries_give_everything_exactly(seed, n, definite, scale):
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.1, 3.0, n) * (1 if definite else rng.choice([-1, 1], n))
    A = matrix_with(values, seed, scale)
    summary = hessian_summary(SystemMatrix.from_entries(A, shift=5.0))
    truth = np.linalg.eigvalsh(A)
    assert set(summary) == KEYS
    assert summary["largest_eigenvalue"] == pytest.approx(truth[-1])
    assert summary["smallest_eigenvalue"] == pytest.approx(truth[0])
    assert summary["smallest_magnitude"] == pytest.approx(np.abs(truth).min())
    assert summary["n_negative"] == (truth < 0).sum()
    assert summary["condition_number"] == pytest.approx(np.linalg.cond(A), rel=1e-6)
    assert summary["trace"] == pytest.approx(np.trace(A), abs=1e-9 * scale)
    assert summary["row_sparsity"] == np.max(oracle_sparsity(A))
    wrong = {name for name, how in summary["how"].items() if how != "exact"}
    assert wrong == (set() if (truth > 0).all() else {"effective_parameters"})


@given(SEEDS, st.integers(2, 25), st.sampled_from([0, 1, 2, 3, 20, 1000]))
def test_bounds_from_products_lie_on_the_right_side_and_within_the_budget(seed, n, products):
    rng = np.random.default_rng(seed)
    A, calls = matrix_with(rng.standard_normal(n), seed), []
    summary = hessian_summary(lazy(A, calls), exact=False, products=products)
    assert len(calls) <= products
    truth, room = np.linalg.eigvalsh(A), 1e-9
    if products == 0:
        assert set(summary["how"].values()) == {"not measured"}
        assert all(math.isnan(summary[name]) for name in summary["how"])
        return
    assert (
        truth[0] - room <= summary["smallest_eigenvalue"] <= summary["largest_eigenvalue"] <= truth[-1] + room
    )
    assert summary["smallest_magnitude"] >= np.abs(truth).min() - room
    assert summary["n_negative"] <= (truth < 0).sum()
    assert summary["condition_number"] <= np.linalg.cond(A) * (1 + 1e-6)
    if summary["how"]["row_sparsity"] == "lower bound":
        assert summary["row_sparsity"] <= np.max(oracle_sparsity(A))


def test_enough_products_find_the_whole_spectrum():
    A = matrix_with(np.linspace(-2, 5, 30), 0)
    summary = hessian_summary(lazy(A, []), exact=False, products=100)
    assert summary["largest_eigenvalue"] == pytest.approx(5.0)
    assert summary["smallest_eigenvalue"] == pytest.approx(-2.0)
    assert summary["n_negative"] == (np.linspace(-2, 5, 30) < 0).sum()


def test_effective_parameters_are_those_of_ridge_regression():
    rng = np.random.default_rng(0)
    X, alpha = rng.standard_normal((40, 6)), 3.0
    H = X.T @ X + alpha * np.eye(6)
    matrix = SystemMatrix(6, assemble=lambda: H, factor_diagonal=np.full(6, alpha))
    hat = np.trace(X @ np.linalg.solve(H, X.T))
    assert hessian_summary(matrix)["effective_parameters"] == pytest.approx(hat)


@pytest.mark.parametrize("exact", [True, False])
def test_a_matrix_that_is_not_finite_is_not_measured(exact):
    H = np.full((3, 3), np.nan)
    matrix = SystemMatrix(3, assemble=lambda: H, product=lambda v: H @ v)
    summary = hessian_summary(matrix, exact=exact, products=20)
    assert set(summary["how"].values()) == {"not measured"}


def test_sampled_rows_are_a_lower_bound_that_all_rows_reach():
    A = np.diag(np.arange(1.0, 9.0))
    A[0] = A[:, 0] = 1.0
    assert sampled_row_sparsity(SystemMatrix.from_entries(A), 8) == np.max(oracle_sparsity(A))
    assert sampled_row_sparsity(SystemMatrix.from_entries(A), 3) <= np.max(oracle_sparsity(A))
