"""Condition numbers: true, labelled, and never below where they are bounds."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.base import BaseEstimator, clone

from qnewton_sk import condition_number
from qnewton_sk.conditioning.condition_number import METHODS, ConditionNumber, determinant_bound
from qnewton_sk.systems.system_matrix import SystemMatrix

EVERY = sorted(METHODS)
BOUNDS = ("determinant", "shift")


def symmetric(n, seed=0, dtype=float):
    B = np.random.default_rng(seed).standard_normal((n, n)).astype(dtype)
    return B + B.T


def with_eigenvalues(values, seed=0):
    n = len(values)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    H = (Q * np.asarray(values, dtype=float)) @ Q.T
    return (H + H.T) / 2


def true_kappa(A):
    magnitudes = np.abs(np.linalg.eigvalsh(A))
    return magnitudes.max() / magnitudes.min() if magnitudes.min() else math.inf


def semidefinite(n, rank, shift, seed=0):
    G = np.random.default_rng(seed).standard_normal((rank, n))
    return SystemMatrix.from_entries(G.T @ G, semidefinite=True).shifted(shift)


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
def test_definiteness_comes_to_light(values, definite, method):
    assert condition_number(with_eigenvalues(values), method).positive_definite is definite


@pytest.mark.parametrize("factor", ["lu", "cholesky", "ldl"])
@pytest.mark.parametrize("method", ["determinant", "one_norm", "lanczos"])
def test_every_kept_factorisation_serves(factor, method):
    A = semidefinite(40, 40, 2.0)
    A.factorisation(factor)
    before = A.factorised
    kappa = condition_number(A, method)
    assert A.factorised == before
    assert kappa >= 0.95 * true_kappa(A.dense())


def test_published_value_of_the_determinant_bound():
    A = np.array([[1.0, 2.0], [3.0, 4.0]])
    bound = determinant_bound(2, np.linalg.slogdet(A)[1], math.log(np.linalg.norm(A)))
    assert bound == pytest.approx(14.933, abs=5e-4)
    assert bound == pytest.approx(np.linalg.cond(A), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_determinant_bound_does_not_care_for_the_scale(scale):
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
    def test_bad_matrix(self, method, H, words):
        with pytest.raises(ValueError, match=f"`H` must be .*{words}"):
            condition_number(H, method)


def test_a_slight_asymmetry_is_rounding():
    H = symmetric(20)
    H[0, 1] *= 1 + 1e-12
    assert condition_number(H, "exact") == pytest.approx(true_kappa((H + H.T) / 2))


@given(arrays(float, (4, 4), elements=st.integers(-2, 2)))
@settings(max_examples=100, deadline=None)
def test_lanczos_on_small_integers(B):
    H = B + B.T
    truth, kappa = true_kappa(H), condition_number(H)
    if truth < 1e12:
        assert kappa == pytest.approx(truth, rel=1e-6)
    else:
        assert kappa > 1e12


class Mine(BaseEstimator):
    def __init__(self, factor=2.0):
        self.factor = factor

    def estimate(self, matrix):
        return ConditionNumber(self.factor * matrix.n, "upper bound", "mine", matrix.n)


def test_an_own_estimator():
    kappa = condition_number(np.eye(3), Mine())
    assert (kappa, kappa.kind, kappa.method, kappa.flops) == (6.0, "upper bound", "mine", 3.0)


@pytest.mark.parametrize("method", ["exakt", "", None, 3, object(), ["exact"]])
def test_unknown_method(method):
    with pytest.raises(ValueError, match="`condition_number` must be one of .*'lanczos'"):
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
