"""What a prepared system says about itself, and what it must not compute to say so."""

import math
from importlib import import_module

import numpy as np
import pytest
from scipy import sparse

from qnewton_sk import SystemFacts, prune_symmetric
from qnewton_sk.conditioning.condition_number import ConditionNumber
from qnewton_sk.conditioning.estimators import LARGE_ORDER, PATH_STEPS
from qnewton_sk.conditioning.prepare import known_facts, prepare
from qnewton_sk.solvers import CG
from qnewton_sk.systems import SolveStatus
from qnewton_sk.systems.system_matrix import SystemMatrix

prepare_module = import_module("qnewton_sk.conditioning.prepare")  # the room has a function of that name

N = 90


def symmetric(n=N, seed=0):
    B = np.random.default_rng(seed).standard_normal((n, n))
    return B + B.T


def gram(n=N, rank=N, seed=0):
    G = np.random.default_rng(seed).standard_normal((rank, n))
    return G.T @ G


def lazy(H, **settings):
    def assemble():
        raise AssertionError("assembled")

    return SystemMatrix(
        len(H),
        assemble=assemble,
        product=lambda v: H @ v,
        product_flops=100.0,
        assembly_flops=1e6,
        **settings,
    )


def facts_of(matrix, shift=0.5, **settings):
    return prepare(matrix, np.ones(matrix.n), 1e-6, shift, **settings).facts


def kappa_of(A):
    magnitudes = np.abs(np.linalg.eigvalsh(A))
    return magnitudes.max() / magnitudes.min()


def test_the_system_is_shifted_and_carries_its_settings():
    H, b = symmetric(), np.arange(float(N))
    system = prepare(SystemMatrix.from_entries(H), b, 1e-3, 2.0, iterations=17.0)
    assert system.rhs is b and system.tol == 1e-3
    np.testing.assert_allclose(system.matrix.product(b), H @ b + 2 * b)
    assert system.facts.shift == 2.0 and system.facts.iterations == 17.0 and system.facts.n == N


def test_facts_of_an_indefinite_matrix():
    H = symmetric()
    A = H + 0.5 * np.eye(N)
    facts = facts_of(SystemMatrix.from_entries(H))
    assert facts.positive_definite is False
    assert 0.7 * kappa_of(A) <= facts.kappa <= kappa_of(A) * 1.001
    assert 0.7 * np.linalg.norm(A, 2) <= facts.norm <= np.linalg.norm(A, 2) * 1.001
    assert facts.max_abs == np.abs(A).max()
    assert facts.factorised == ("ldl",)
    assert facts.nnz is None and facts.assembly_flops == 0


def test_a_definite_matrix_of_unknown_structure_is_found_out():
    assert facts_of(SystemMatrix.from_entries(gram() + np.eye(N))).positive_definite is True


def test_small_matrices_are_measured_exactly():
    facts = facts_of(SystemMatrix.from_entries(symmetric(20)))
    assert facts.kappa_kind == "exact"
    assert facts.kappa == pytest.approx(kappa_of(symmetric(20) + 0.5 * np.eye(20)))


@pytest.mark.parametrize("make", [lazy, SystemMatrix.from_entries])
def test_semidefinite_plus_shift_needs_no_factorisation(make):
    H = gram(rank=30)
    matrix = make(H, semidefinite=True)
    system = prepare(matrix, np.ones(N), 1e-6, 0.5)
    truth = kappa_of(H + 0.5 * np.eye(N))
    assert 0.7 * truth <= system.facts.kappa <= truth * (1 + 1e-9)
    assert system.facts.kappa_kind == "estimate"
    assert system.facts.positive_definite is True
    assert system.matrix.factorised == ()
    assert system.facts.factorised == ()


def test_a_lazy_matrix_stays_lazy():
    facts = facts_of(lazy(symmetric()))
    assert facts.kappa >= 1 and facts.kappa_kind == "estimate"
    assert facts.row_nonzeros == N and facts.max_abs is None
    assert facts.assembly_flops == 1e6 and facts.product_flops == 100.0


def test_a_hint_of_the_norm_costs_no_product():
    def product(v):
        raise AssertionError("multiplied")

    matrix = SystemMatrix(N, product=product, product_flops=1.0, semidefinite=True)
    facts = facts_of(matrix, 0.5, norm_hint=9.5)
    assert facts.norm == 10.0 and facts.kappa == 20.0


@pytest.mark.parametrize("make", [lazy, SystemMatrix.from_entries])
def test_without_measuring_nothing_is_touched(make, monkeypatch):
    monkeypatch.setattr(SystemMatrix, "product", None)
    facts = SystemFacts(**known_facts(make(gram(), semidefinite=True).shifted(0.5)))
    assert facts.kappa is None and facts.row_nonzeros == N
    assert facts.positive_definite is True


def test_kept_factorisations_are_reported_and_used():
    matrix = SystemMatrix.from_entries(gram(), semidefinite=True)
    shifted = matrix.shifted(0.5)
    shifted.factorisation("lu")
    assert known_facts(shifted)["factorised"] == ("lu",)


def test_rank_and_factor():
    G = np.random.default_rng(0).standard_normal((7, N))
    matrix = SystemMatrix(
        N,
        factor=lambda: G,
        rank=7,
        factor_flops=50.0,
        semidefinite=True,
        product=lambda v: G.T @ (G @ v),
        product_flops=1.0,
    )
    facts = facts_of(matrix)
    assert (facts.rank, facts.factor_flops) == (7, 50.0)
    matrix.factor()
    assert facts_of(matrix).factor_flops == 0


def test_row_sparsity_is_that_of_half_the_absolute_sum():
    H = np.eye(N) * 3
    H[:, 0] = H[0] = 1.0
    assert facts_of(SystemMatrix.from_entries(H)).row_nonzeros <= N
    assert facts_of(SystemMatrix.from_entries(np.eye(N))).row_nonzeros == 1
    assert facts_of(SystemMatrix.from_entries(np.ones((N, N))), 1e-9).row_nonzeros == N // 2


@pytest.mark.parametrize("d", [1, 6, 0.5, 1.0, N])
def test_pruning(d):
    H = symmetric()
    matrix = SystemMatrix.from_entries(H, semidefinite=True)
    system = prepare(matrix, np.ones(N), 1e-6, 0.5, oracle_sparsity=d)
    limit = d if isinstance(d, int) else int(d * N)
    A = system.matrix.dense()
    np.testing.assert_array_equal(A, prune_symmetric(H, limit, keep_diagonal=True) + 0.5 * np.eye(N))
    assert (A != 0).sum(axis=1).max() <= system.facts.row_nonzeros == limit
    assert system.facts.kappa <= kappa_of(A) * 1.001
    assert system.facts.positive_definite == (np.linalg.eigvalsh(A)[0] > 0)
    assert system.matrix.semidefinite is False  # pruning may have broken it
    assert (system.facts.nnz is not None) == system.matrix.is_sparse == (limit <= 6)


def test_pruned_once_for_all_shifts(monkeypatch):
    calls = []
    original = prepare_module.greedy_pairs
    monkeypatch.setattr(prepare_module, "greedy_pairs", lambda *a, **k: calls.append(1) or original(*a, **k))
    matrix = SystemMatrix.from_entries(symmetric())
    for shift in (0.1, 1.0, 10.0):
        prepare(matrix, np.ones(N), 1e-6, shift, oracle_sparsity=5)
    assert len(calls) == 1
    prepare(matrix, np.ones(N), 1e-6, 0.1, oracle_sparsity=6)
    assert len(calls) == 2


@pytest.mark.parametrize("d", [4, 30])
def test_pruning_breaks_definiteness_and_is_measured_after(d):
    H = gram(rank=5)
    facts = facts_of(SystemMatrix.from_entries(H, semidefinite=True), 0.01, oracle_sparsity=d)
    A = prune_symmetric(H, d, keep_diagonal=True) + 0.01 * np.eye(N)
    assert np.linalg.eigvalsh(A)[0] < 0
    assert facts.positive_definite is False
    assert 0.7 * kappa_of(A) <= facts.kappa <= kappa_of(A) * 1.001


def test_a_sparse_definite_matrix_is_found_out():
    ones = np.ones(299)
    H = sparse.diags_array([np.full(300, 4.0), ones, ones], offsets=[0, 1, -1], format="csr")
    facts = facts_of(SystemMatrix.from_entries(H), 0.0)
    assert facts.positive_definite is True and facts.factorised == ("sparse_lu",)


@pytest.mark.parametrize("method", ["exact", "determinant", "lanczos", "one_norm", "shift", "products"])
def test_a_named_estimator(method):
    facts = facts_of(SystemMatrix.from_entries(gram(), semidefinite=True), condition_number=method)
    assert facts.kappa >= 0.95 * kappa_of(gram() + 0.5 * np.eye(N)) * (0.5 if method == "products" else 1)
    assert facts.kappa_kind in ("exact", "upper bound", "estimate")


class Mine:
    def __init__(self, answer):
        self.answer = answer

    def estimate(self, matrix):
        return self.answer


@pytest.mark.parametrize(
    "answer, kind", [(ConditionNumber(7.0, "upper bound", "mine"), "upper bound"), (7.0, "estimate")]
)
def test_a_users_estimator(answer, kind):
    facts = facts_of(SystemMatrix.from_entries(symmetric()), condition_number=Mine(answer))
    assert (facts.kappa, facts.kappa_kind) == (7.0, kind)


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ValueError, match="`condition_number` must be one of"):
        facts_of(SystemMatrix.from_entries(symmetric()), condition_number="best")


@pytest.mark.parametrize("d", [0, N + 1, 1.5])
def test_a_sparsity_out_of_range_is_refused(d):
    with pytest.raises(ValueError, match="`oracle_sparsity` must be"):
        facts_of(SystemMatrix.from_entries(symmetric()), oracle_sparsity=d)


@pytest.mark.parametrize("settings", [{}, dict(oracle_sparsity=3), dict(oracle_sparsity=0.9)])
@pytest.mark.parametrize("semidefinite", [True, False])
@pytest.mark.parametrize("n", [1, 5, N])
def test_not_finite_is_a_value(settings, semidefinite, n):
    matrix = SystemMatrix.from_entries(np.full((n, n), np.nan), semidefinite=semidefinite)
    if settings.get("oracle_sparsity") == 3 and n < 3:
        settings = dict(oracle_sparsity=1)
    assert facts_of(matrix, **settings).kappa == math.inf


def test_zero_matrix_without_shift():
    facts = facts_of(SystemMatrix.from_entries(np.zeros((N, N))), 0.0)
    assert facts.kappa == math.inf and facts.row_nonzeros == 1


def test_sparse_entries():
    H = sparse.diags_array(np.arange(1.0, N + 1), format="csr")
    facts = facts_of(SystemMatrix.from_entries(H), 0.0)
    assert facts.nnz == N and facts.product_flops == 2 * N and facts.row_nonzeros == 1
    assert 0.7 * N <= facts.kappa <= N * 1.001


def test_float32():
    facts = facts_of(SystemMatrix.from_entries(symmetric().astype(np.float32)))
    assert facts.itemsize == 4 and facts.kappa > 1


@pytest.mark.parametrize("n, least", [(80, 0.9), (1600, 0.6)])
def test_the_norm_takes_products_that_conjugate_gradients_use_again(n, least):
    rng = np.random.default_rng(0)
    eigenvalues = np.concatenate([np.linspace(0.0, 1.0, n - 3), [5.0, 20.0, 40.0]])
    taken = []

    def product(v):
        taken.append(0)
        return eigenvalues * v

    H = SystemMatrix(n, product=product, product_flops=2.0 * n)
    rhs = eigenvalues * rng.standard_normal(n)  # as the gradient of a quadratic function
    system = prepare(H, rhs, 1e-6, 0.1, radius=100.0)
    assert len(taken) == PATH_STEPS[n > LARGE_ORDER]
    assert least * 40.1 <= system.facts.norm <= 40.1 * (1 + 1e-9)
    assert system.facts.kappa == pytest.approx(system.facts.norm / 0.1)
    solution = CG().solve(system)
    assert solution.status is SolveStatus.SUCCESS and len(taken) == solution.products


def test_a_right_hand_side_that_shows_no_norm_leaves_it_to_random_vectors():
    H = SystemMatrix(50, product=lambda v: -3.0 * v, product_flops=100.0)
    for rhs in (np.zeros(50), np.ones(50)):
        assert prepare(H, rhs, 1e-6, 0.5, radius=1.0).facts.norm == pytest.approx(2.5)
