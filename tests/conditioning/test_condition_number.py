"""Condition numbers: true, labelled, and never below where they are bounds."""

import copy
import math
import pickle

import numpy as np
import pytest
from matrices import symmetric, true_kappa, with_eigenvalues
from scipy import sparse
from sklearn.base import BaseEstimator, clone

from qnewton_sk import condition_number
from qnewton_sk.conditioning.condition_number import METHODS, ConditionNumber
from qnewton_sk.systems.system_matrix import SystemMatrix

EVERY = sorted(METHODS)
BOUNDS = ("determinant", "shift")


@pytest.mark.parametrize("method", EVERY)
class TestEveryMethod:
    def test_says_what_it_is_and_what_it_cost(self, method):
        kappa = condition_number(with_eigenvalues([1.0, 2.0, 8.0, 5.0]), method)
        assert isinstance(kappa, float) and isinstance(kappa, ConditionNumber)
        assert kappa.kind in ("exact", "upper bound", "estimate")
        assert kappa.method and kappa.flops > 0

    def test_zero_matrix_is_infinitely_ill_conditioned(self, method):
        assert condition_number(np.zeros((4, 4)), method) == math.inf

    def test_one_by_one(self, method):
        assert condition_number(np.array([[-3.0]]), method) == pytest.approx(1.0)
        assert condition_number(np.array([[0.0]]), method) == math.inf

    def test_identity(self, method):
        assert condition_number(np.eye(70) * 1e-3, method) == pytest.approx(1.0, rel=1e-5)

    def test_singular(self, method):
        assert condition_number(np.ones((5, 5)), method) > 1e14

    def test_scaling_does_not_matter(self, method):
        H = with_eigenvalues(np.linspace(2, 5, 12))
        expected = condition_number(H, method)
        assert condition_number(H * 2.0**60, method) == pytest.approx(expected, rel=1e-6)

    def test_float32_and_integers(self, method):
        H = with_eigenvalues(np.linspace(2, 5, 12)).astype(np.float32)
        assert condition_number(H, method) == pytest.approx(
            condition_number(H.astype(float), method), rel=1e-2
        )
        assert condition_number(np.diag([4, 2]), method) == pytest.approx(2.0)

    def test_sparse_gives_what_dense_gives(self, method):
        H = with_eigenvalues(np.linspace(2, 5, 12))
        dense = condition_number(H, method)
        assert condition_number(sparse.csr_array(H), method) == pytest.approx(dense, rel=1e-9)
        assert condition_number(sparse.coo_array(H), method) == pytest.approx(dense, rel=1e-9)

    def test_input_is_not_changed(self, method):
        H = symmetric(9)
        before = H.copy()
        condition_number(H, method)
        np.testing.assert_array_equal(H, before)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_not_finite_inside_a_fit_is_infinite(self, method, bad):
        H = np.eye(80)
        H[3, 4] = H[4, 3] = bad
        assert condition_number(SystemMatrix.from_entries(H), method) == math.inf
        assert (
            condition_number(SystemMatrix.from_entries(H, semidefinite=True, shift=1.0), method) == math.inf
        )

    @pytest.mark.parametrize(
        "H, words",
        [
            (np.zeros((0, 0)), "order >= 1"),
            (np.zeros((2, 3)), "square"),
            (np.zeros(4), "square"),
            (np.array([[1.0, 2.0], [3.0, 4.0]]), "symmetric"),
            (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
            (np.array([[1.0, np.inf], [np.inf, 1.0]]), "finite"),
            (np.eye(2) * 1j, "real"),
            (np.array([["a"]]), "real"),
            (sparse.csr_array(np.array([[1.0, 2.0], [0.0, 1.0]])), "symmetric"),
        ],
    )
    def test_a_wrong_matrix_is_refused(self, method, H, words):
        with pytest.raises(ValueError, match=f"`H` must be .*{words}"):
            condition_number(H, method)


def test_a_slight_asymmetry_is_rounding():
    H = symmetric(20)
    H[0, 1] *= 1 + 1e-12
    assert condition_number(H, "exact") == pytest.approx(true_kappa((H + H.T) / 2))


class Mine(BaseEstimator):
    def __init__(self, factor=2.0):
        self.factor = factor

    def estimate(self, matrix):
        return ConditionNumber(self.factor * matrix.n, "upper bound", "mine", matrix.n)


def test_a_users_estimator():
    kappa = condition_number(np.eye(3), Mine())
    assert (kappa, kappa.kind, kappa.method, kappa.flops) == (6.0, "upper bound", "mine", 3.0)


@pytest.mark.parametrize("method", ["exakt", "", None, 3, object(), ["exact"]])
def test_an_unknown_method_is_refused(method):
    with pytest.raises(ValueError, match="`method` must be one of .*'lanczos'"):
        condition_number(np.eye(2), method)


def test_wrong_kind():
    with pytest.raises(ValueError, match="`kind` must be one of"):
        ConditionNumber(2.0, "guess")


@pytest.mark.parametrize("send", [copy.copy, copy.deepcopy, lambda kappa: pickle.loads(pickle.dumps(kappa))])
def test_labels_travel(send):
    kappa = send(condition_number(np.diag([1.0, 4.0]), "exact"))
    assert (kappa, kappa.kind, kappa.method, kappa.norm) == (4.0, "exact", "exact", 4.0)


@pytest.mark.parametrize("method", EVERY)
def test_estimators_are_parts(method):
    clone(METHODS[method])
