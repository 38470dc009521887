"""Estimators of the condition number against the truth, and the choice among them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matrices import semidefinite, symmetric, true_kappa, with_eigenvalues

from qnewton_sk import condition_number
from qnewton_sk.conditioning.bounds import ShiftCondition
from qnewton_sk.conditioning.estimators import (
    AutoCondition,
    ExactCondition,
    LanczosCondition,
    NormOverShift,
    ProductsCondition,
)
from qnewton_sk.systems.system_matrix import SystemMatrix


@pytest.mark.parametrize("n", [1, 2, 3, 30, 120])
def test_exact_is_the_ratio_of_the_extreme_magnitudes(n):
    H = symmetric(n)
    kappa = condition_number(H, "exact")
    assert kappa == pytest.approx(true_kappa(H), rel=1e-9)
    assert kappa.kind == "exact"
    assert kappa.norm == pytest.approx(np.linalg.norm(H, 2))
    assert kappa.positive_definite == (np.linalg.eigvalsh(H)[0] > 0)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).standard_normal(300),
        np.logspace(0, -10, 300) * np.resize([1, -1, 1], 300),
        np.concatenate([np.logspace(1, -3, 30), -np.logspace(-1, -4, 30), np.zeros(240)]) + 1e-3,
        np.concatenate([np.logspace(1, -3, 30), -np.logspace(-1, -4, 30), np.zeros(240)]) + 1.0,
        np.concatenate([np.linspace(1, 2, 298), [1e-5, -1.3e-5]]),
        np.full(300, 7.0),
    ],
    ids=["gaussian", "1e10", "hessian", "shifted hessian", "outliers", "identity"],
)
@pytest.mark.parametrize("factor", [None, "lu", "ldl"])
def test_lanczos_is_within_five_percent_from_below(values, factor):
    A = SystemMatrix.from_entries(with_eigenvalues(values))
    if factor:
        A.factorisation(factor)
    kappa = condition_number(A)
    truth = true_kappa(A.entries())
    assert 0.95 * truth <= kappa <= truth * (1 + 1e-4)
    assert kappa.kind == "estimate"
    assert A.factorised == (("ldl",) if factor in (None, "ldl") else ("lu",))


def test_lanczos_reuses_what_is_kept_and_says_so_in_its_cost():
    A = SystemMatrix.from_entries(symmetric(200))
    first = condition_number(A, "lanczos")
    again = condition_number(A, "lanczos")
    assert first == again
    assert first.flops - again.flops == pytest.approx(200**3 / 3)


@pytest.mark.parametrize("values, definite", [([3.0, 2.0, 1e-3], True), ([3.0, 2.0, -1e-3], False)])
@pytest.mark.parametrize("method", ["exact", "lanczos"])
def test_definiteness_is_found(values, definite, method):
    assert condition_number(with_eigenvalues(values), method).positive_definite is definite


@pytest.mark.parametrize("factor", ["lu", "cholesky", "ldl"])
@pytest.mark.parametrize("method", ["determinant", "one_norm", "lanczos"])
def test_every_factorisation_that_exists_is_used(factor, method):
    A = semidefinite(40, 40, 2.0)
    A.factorisation(factor)
    before = A.factorised
    kappa = condition_number(A, method)
    assert A.factorised == before
    assert kappa >= 0.95 * true_kappa(A.dense())


def test_products_never_assemble():
    def assemble():
        raise AssertionError("assembled")

    H = symmetric(80)
    A = SystemMatrix(80, assemble=assemble, product=lambda v: H @ v, product_flops=2 * 80**2)
    kappa = condition_number(A, "products")
    assert kappa.kind == "estimate" and 1 <= kappa <= true_kappa(H)
    assert kappa.positive_definite is False
    assert condition_number(A, "auto") == kappa
    B = SystemMatrix(
        80,
        assemble=assemble,
        product=lambda v: H @ (H @ v),
        product_flops=4 * 80**2,
        semidefinite=True,
        shift=0.5,
    )
    truth = (np.linalg.norm(H, 2) ** 2 + 0.5) / 0.5
    assert 0.95 * truth <= condition_number(B, "auto") <= truth * (1 + 1e-9)


@given(arrays(float, (4, 4), elements=st.integers(-2, 2)))
@settings(max_examples=100, deadline=None)
def test_lanczos_on_small_integers(B):
    H = B + B.T
    truth, kappa = true_kappa(H), condition_number(H)
    if truth < 1e12:
        assert kappa == pytest.approx(truth, rel=1e-6)
    else:
        assert kappa > 1e12


# -- the choice ----------------------------------------------------------------------------------------------


def lazily(n, semidefinite=False):
    return SystemMatrix(n, product=lambda v: v, product_flops=1.0, semidefinite=semidefinite)


@pytest.mark.parametrize(
    "matrix, hints, chosen",
    [
        (SystemMatrix.from_entries(symmetric(10)), {}, ExactCondition),
        (SystemMatrix.from_entries(symmetric(70)), {}, LanczosCondition),
        (SystemMatrix.from_entries(symmetric(70)).shifted(1.0), {"norm_hint": 1.0}, LanczosCondition),
        (SystemMatrix.from_entries(symmetric(70)), {"norm_hint": 1.0, "has_radius": True}, LanczosCondition),
        (semidefinite(70, 5, 1.0), {}, NormOverShift),
        (semidefinite(70, 5, 0.0), {}, LanczosCondition),
        (lazily(70), {}, ProductsCondition),
        (lazily(70).shifted(1.0), {}, NormOverShift),
        (
            SystemMatrix.from_entries(symmetric(70)).shifted(1.0),
            {"norm_hint": 1.0, "has_radius": True},
            NormOverShift,
        ),
    ],
)
def test_auto_chooses_an_estimator_by_what_the_matrix_has(matrix, hints, chosen):
    assert type(AutoCondition().choose(matrix, in_fit=True, **hints)) is chosen


@pytest.mark.parametrize(
    "matrix, chosen",
    [
        (SystemMatrix.from_entries(symmetric(10)), ExactCondition),
        (SystemMatrix.from_entries(symmetric(70)), LanczosCondition),
        (semidefinite(70, 5, 1.0), ShiftCondition),
        (lazily(70, semidefinite=True).shifted(1.0), ProductsCondition),
    ],
)
def test_the_choice_for_a_users_matrix(matrix, chosen):
    assert type(AutoCondition().choose(matrix)) is chosen


@pytest.mark.parametrize("in_fit", [True, False])
def test_a_factorisation_that_exists_is_used(in_fit):
    A = semidefinite(70, 5, 1.0)
    A.factorisation("cholesky")
    assert type(AutoCondition().choose(A, in_fit=in_fit)) is LanczosCondition


def test_the_norm_over_the_shift_takes_no_product_if_the_norm_is_known():
    A = semidefinite(70, 70, 0.5)
    norm = np.linalg.norm(A.entries(), 2)
    measured, known = NormOverShift().estimate(A), NormOverShift(norm).estimate(A)
    assert 0.7 * known <= measured <= known * (1 + 1e-9) and known == pytest.approx(
        true_kappa_plus(norm, 0.5)
    )
    assert known.flops == 0 < measured.flops and known.positive_definite and known.norm == norm + 0.5


def true_kappa_plus(norm, shift):
    """The condition number of a semidefinite matrix plus a shift, if its smallest eigenvalue is zero."""
    return (norm + shift) / shift


@pytest.mark.parametrize("answer", [math.nan, "large", None, 1j])
def test_an_estimator_that_returns_something_else_is_named(answer):
    class Mine:
        def estimate(self, matrix):
            return answer

    with pytest.raises(ValueError, match="`condition_number` must have a method estimate.*returned"):
        condition_number(np.eye(2), Mine())


def test_a_plain_number_counts_as_an_estimate():
    class Mine:
        def estimate(self, matrix):
            return 0.5

    kappa = condition_number(np.eye(2), Mine())
    assert (kappa, kappa.kind, kappa.method) == (1.0, "estimate", "Mine")
