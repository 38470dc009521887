"""Factorisations against numpy: solutions, determinants, signs of eigenvalues, condition, honest statuses."""

import gc
import math
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from qnewton_sk import SolveStatus, SystemMatrix
from qnewton_sk.systems import FACTORISATIONS

NAMES = sorted(FACTORISATIONS)


def matrix_of(name, H, **settings):
    return SystemMatrix.from_entries(sparse.csr_array(H) if name == "sparse_lu" else H, **settings)


def random_matrix(name, seed, n):
    """Definite for Cholesky, else indefinite, with no eigenvalue near zero."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = rng.uniform(0.5, 2.0, n) * (1 if name == "cholesky" else rng.choice([-1, 1], n))
    H = (Q * values) @ Q.T
    return (H + H.T) / 2


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(0, 10**6), st.integers(1, 20), st.floats(0, 0.2))
def test_everything_is_that_of_the_shifted_matrix(name, seed, n, shift):
    A = random_matrix(name, seed, n) + shift * np.eye(n)
    found = matrix_of(name, A - shift * np.eye(n), shift=shift).factorisation(name)
    assert found.name == name and found.status is SolveStatus.SUCCESS
    B = np.random.default_rng(seed).standard_normal((n, 3))
    np.testing.assert_allclose(A @ found.solve(B), B, atol=1e-9)
    np.testing.assert_allclose(A @ found.solve(B[:, 0]), B[:, 0], atol=1e-9)
    assert found.log_abs_determinant() == pytest.approx(np.linalg.slogdet(A)[1], abs=1e-8)
    values, inertia = np.linalg.eigvalsh(A), found.inertia()
    if inertia is not None:
        assert inertia == ((values < 0).sum(), 0, (values > 0).sum())
        assert inertia.positive_definite == (values[0] > 0)
    assert (inertia is None) == (name == "lu") or name == "sparse_lu"
    norm = np.abs(A).sum(axis=0).max()
    truth = 1 / (norm * np.abs(np.linalg.inv(A)).sum(axis=0).max())
    assert truth * (1 - 1e-9) <= found.reciprocal_condition(norm) <= 3 * truth


@pytest.mark.parametrize("name", NAMES)
def test_a_singular_matrix_is_a_status(name):
    expected = SolveStatus.NOT_POSITIVE_DEFINITE if name == "cholesky" else SolveStatus.SINGULAR
    assert matrix_of(name, np.zeros((3, 3))).factorisation(name).status is expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_entries_that_are_not_finite_are_a_status(name, value):
    H = np.eye(4)
    H[1, 2] = H[2, 1] = value
    assert matrix_of(name, H).factorisation(name).status is SolveStatus.NON_FINITE
    assert matrix_of(name, np.eye(2), shift=value).factorisation(name).status is SolveStatus.NON_FINITE


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_stays_single(name):
    H = random_matrix(name, 0, 12).astype(np.float32)
    H = (H + H.T) / 2
    x = matrix_of(name, H).factorisation(name).solve(np.ones(12, np.float32))
    assert x.dtype == np.float32
    np.testing.assert_allclose(H @ x, 1, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_operations_are_counted_in_cubes(name):
    small, large = (matrix_of(name, np.eye(n)) for n in (10, 20))
    ratio = FACTORISATIONS[name].flops(large) / FACTORISATIONS[name].flops(small)
    assert ratio == pytest.approx(2 if name == "sparse_lu" else 8)


@pytest.mark.parametrize("name", NAMES)
def test_a_factorisation_does_not_hold_its_matrix(name):
    gc.collect()
    gc.disable()
    try:
        matrix = matrix_of(name, np.eye(5))
        gone = weakref.ref(matrix)
        kept = matrix.factorisation(name)
        del matrix
        assert gone() is None and kept.status is SolveStatus.SUCCESS
    finally:
        gc.enable()
