"""Bounds of the condition number: never below the truth, and as tight as documented."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import semidefinite, symmetric, true_kappa, with_eigenvalues

from qnewton_sk import condition_number
from qnewton_sk.conditioning.condition_number import determinant_bound
from qnewton_sk.systems.system_matrix import SystemMatrix

BOUNDS = ("determinant", "shift")


def test_published_value_of_the_determinant_bound():
    A = np.array([[1.0, 2.0], [3.0, 4.0]])
    bound = determinant_bound(2, np.linalg.slogdet(A)[1], math.log(np.linalg.norm(A)))
    assert bound == pytest.approx(14.933, abs=5e-4)
    assert bound == pytest.approx(np.linalg.cond(A), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_determinant_bound_does_not_depend_on_the_scale(scale):
    H = with_eigenvalues(np.linspace(1, 3, 40))
    with np.errstate(over="ignore"):
        assert np.linalg.det(H * scale) in (0.0, math.inf)
    assert condition_number(H * scale, "determinant") == pytest.approx(
        condition_number(H, "determinant"), rel=1e-9
    )


def test_determinant_bound_is_as_loose_as_documented():
    H = symmetric(128, seed=3)
    assert condition_number(H, "determinant") > 1e20 * true_kappa(H)


def test_definite_form_is_tighter():
    A = semidefinite(20, 20, 1.0)
    general = condition_number(A.dense(), "determinant")
    definite = condition_number(A, "determinant")
    assert true_kappa(A.dense()) <= definite < general


@given(st.integers(1, 8), st.integers(0, 2**32 - 1), st.floats(-6, 6), st.floats(-3, 3))
@settings(max_examples=300, deadline=None)
def test_bounds_hold(n, seed, log_scale, log_shift):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-3, 3, n)
    general = (B + B.T) * 10**log_scale
    A = SystemMatrix.from_entries(B @ B.T, semidefinite=True).shifted(10**log_shift)
    for method in BOUNDS:
        for matrix, entries in ((general, general), (A.shifted(A.shift), A.dense())):
            kappa = condition_number(matrix, method)
            assert kappa.kind == "upper bound"
            magnitudes = np.linalg.svd(entries, compute_uv=False)
            resolved = magnitudes[0] / max(magnitudes[-1], n * 2e-16 * magnitudes[0])
            assert kappa >= resolved * (1 - 1e-9 - 4 * n * 2.3e-16 * resolved)


def test_bounds_hold_on_many_matrices():
    rng = np.random.default_rng(5)
    for _ in range(1500):
        n = int(rng.integers(2, 25))
        B = rng.standard_normal((n, n))
        H = B + B.T if rng.random() < 0.5 else B * 10.0 ** rng.uniform(-2, 2)
        H = H if np.array_equal(H, H.T) else H @ H.T
        assert condition_number(H, "determinant") >= true_kappa(H) * (1 - 1e-10)
        A = SystemMatrix.from_entries(B @ B.T, semidefinite=True).shifted(10.0 ** rng.uniform(-4, 4))
        assert condition_number(A, "shift") >= true_kappa(A.dense()) * (1 - 1e-10)


def test_shift_bound_is_never_far_from_the_norm_bound():
    A = semidefinite(200, 20, 0.1)
    kappa = condition_number(A, "shift")
    assert true_kappa(A.dense()) <= kappa <= 5 * true_kappa(A.dense())
    assert A.factorised == ()


def test_shift_bound_of_a_dominant_matrix_and_of_none():
    dominant = np.diag([5.0, 6.0, 7.0]) + 0.5
    assert true_kappa(dominant) <= condition_number(dominant, "shift") < 3
    assert condition_number(symmetric(10), "shift") == math.inf


@pytest.mark.parametrize("n", [5, 60])
def test_one_norm_is_above_the_two_norm_within_a_factor_n(n):
    H = symmetric(n)
    kappa = condition_number(H, "one_norm")
    assert kappa.kind == "estimate"
    assert 0.5 * true_kappa(H) <= kappa <= n * true_kappa(H)
