"""Sparse solvers: right answers, honest statuses, costs that grow with what they should."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from systems_to_solve import unmeasured

from qnewton_sk import SystemFacts, prune_symmetric
from qnewton_sk.machine import Rates
from qnewton_sk.solvers.sparse import SparseCG, SparseCGCost, SparseLU, SparseLUCost
from qnewton_sk.systems.linear_system import LinearSystem
from qnewton_sk.systems.solution import SolveStatus
from qnewton_sk.systems.system_matrix import SystemMatrix

N = 200
RATES = Rates(dict.fromkeys(("gemm", "lu", "cholesky", "ldl"), ((16, 1e9), (256, 1e10))))
FACTS = SystemFacts(n=N, kappa=100.0, nnz=5 * N)


def pruned(definite, d=5, dtype=float):
    B = np.random.default_rng(0).standard_normal((N, N)).astype(dtype)
    P = prune_symmetric(B + B.T, d, keep_diagonal=True, output="csr")
    lift = abs(P).sum(axis=1).max() if definite else 0.0
    return sparse.csr_array(P + lift * sparse.eye_array(N, dtype=dtype)).astype(dtype)


def system(H, shift=0.5, tol=1e-10, dtype=float, **settings):
    b = np.random.default_rng(1).standard_normal(N).astype(dtype)
    return unmeasured(SystemMatrix.from_entries(H), b, tol, shift, **settings)


@pytest.mark.parametrize("solver, definite", [(SparseLU(), True), (SparseLU(), False), (SparseCG(), True)])
def test_solution(solver, definite):
    given = system(pruned(definite))
    solution = solver.solve(given)
    assert solution.status is SolveStatus.SUCCESS
    np.testing.assert_allclose(
        solution.x, np.linalg.solve(given.matrix.dense(), given.rhs), rtol=1e-6, atol=1e-9
    )
    assert solution.relative_residual <= 1e-9
    np.testing.assert_allclose(solution.image, given.matrix.product(solution.x), atol=1e-8)


def test_a_diagonal_whose_inverse_overflows_is_a_status():
    matrix = SystemMatrix.from_entries(sparse.csr_array((3, 3)), shift=2.2e-309)
    tiny = LinearSystem(matrix, np.ones(3), 1e-10, SystemFacts(n=3, nnz=0, shift=2.2e-309))
    assert SparseCG().solve(tiny).status is SolveStatus.NON_FINITE


@pytest.mark.parametrize("solver", [SparseLU(), SparseCG()])
def test_float32(solver):
    solution = solver.solve(system(pruned(True, dtype=np.float32), tol=1e-4, dtype=np.float32))
    assert solution.status is SolveStatus.SUCCESS and solution.x.dtype == np.float32


def test_the_factorisation_is_kept():
    given = system(pruned(False))
    SparseLU().solve(given)
    assert given.matrix.factorised == ("sparse_lu",)
    assert given.matrix.factorisation("sparse_lu") is given.matrix.factorisation("sparse_lu")


def test_cg_counts_its_products_and_needs_fewer_when_less_is_asked():
    tight, loose = (SparseCG().solve(system(pruned(True), tol=tol)).products for tol in (1e-12, 1e-2))
    assert tight > loose >= 1


def test_cg_is_preconditioned_by_the_diagonal():
    H = sparse.diags_array(np.logspace(0, 8, N), format="csr")
    assert SparseCG().solve(system(H, 0.0)).products == 1


def test_cg_stops_at_its_limit():
    solution = SparseCG(max_iter=2).solve(system(pruned(True), tol=1e-14))
    assert solution.status is SolveStatus.MAX_ITERATIONS and solution.products == 2
    assert 0 < solution.relative_residual < 1


def test_cg_says_negative_curvature_and_returns_a_descent_direction():
    H = pruned(False) + 3 * sparse.eye_array(N)
    assert (H.diagonal() > 0).any() and np.linalg.eigvalsh(H.toarray())[0] < 0
    for shift in (0.0, 5.0):
        given = system(sparse.csr_array(H), shift)
        solution = SparseCG().solve(given)
        if np.linalg.eigvalsh(given.matrix.dense())[0] < 0:
            assert solution.status is SolveStatus.NEGATIVE_CURVATURE
        assert solution.x @ given.rhs > 0


@pytest.mark.parametrize(
    "value, status", [(np.nan, SolveStatus.NON_FINITE), (np.inf, SolveStatus.NON_FINITE)]
)
@pytest.mark.parametrize("solver", [SparseLU(), SparseCG()])
def test_not_finite(solver, value, status):
    H = pruned(True)
    H.data[3] = value
    solution = solver.solve(system(H))
    assert solution.status is status and not solution.x.any()


def test_singular_and_nearly_singular():
    assert SparseLU().solve(system(sparse.csr_array((N, N)), 0.0)).status is SolveStatus.SINGULAR
    ones = sparse.kron(sparse.eye_array(N // 2), np.ones((2, 2)), format="csr")
    assert SparseLU().solve(system(sparse.csr_array(ones), 0.0)).status is SolveStatus.SINGULAR


@pytest.mark.parametrize("solver", [SparseLU(), SparseCG()])
def test_zero_right_hand_side(solver):
    given = replace(system(pruned(True)), rhs=np.zeros(N))
    solution = solver.solve(given)
    assert solution.status is SolveStatus.SUCCESS and not solution.x.any() and solution.relative_residual == 0


def test_rejection_reasons():
    dense = SystemFacts(n=N, kappa=10.0)
    for solver in (SparseLU(), SparseCG()):
        assert "not held sparse" in solver.rejection_reason(dense)
        assert solver.rejection_reason(FACTS) is None
    indefinite = replace(FACTS, positive_definite=False)
    assert "not positive definite" in SparseCG().rejection_reason(indefinite)
    assert SparseLU().rejection_reason(indefinite) is None


def test_parts_can_be_cloned():
    assert clone(SparseCG(max_iter=3)).max_iter == 3
    for part in (SparseLU(), SparseLUCost(RATES), SparseCGCost(RATES)):
        clone(part)


def test_cost_of_lu_grows_with_fill_and_falls_once_paid():
    cost = SparseLUCost(RATES)
    seconds = [cost(replace(FACTS, nnz=d * N, product_flops=None), 1e-6).seconds for d in (1, 3, 6, 20, 100)]
    assert seconds == sorted(seconds)
    paid = cost(replace(FACTS, factorised=("sparse_lu",)), 1e-6)
    assert paid.seconds < cost(FACTS, 1e-6).seconds and paid.terms["factorisation_seconds"] == 0


def test_cost_of_cg_follows_kappa_tol_nonzeros_and_observation():
    cost = SparseCGCost(RATES)
    base = cost(FACTS, 1e-6)
    assert base.terms["products"] == math.ceil(5 * math.log(2e6))
    assert cost(replace(FACTS, kappa=400.0), 1e-6).seconds > base.seconds
    assert cost(FACTS, 1e-2).seconds < base.seconds
    assert cost(replace(FACTS, nnz=N * N // 2), 1e-6).seconds > base.seconds
    assert cost(replace(FACTS, iterations=3.0), 1e-6).terms["products"] == 3
    assert cost(replace(FACTS, kappa=math.inf), 1e-6).terms["products"] == 2 * N
    assert base.source


@pytest.mark.parametrize("cost", [SparseLUCost(RATES), SparseCGCost(RATES)])
def test_seconds_are_the_sum_of_terms_that_name_their_unit(cost):
    estimate = cost(FACTS, 1e-6)
    assert all(name.endswith(("_seconds", "products")) for name in estimate.terms)
    assert 0 < estimate.seconds < math.inf
