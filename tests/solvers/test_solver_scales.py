"""Solutions for numbers of any size: right, or with a status that says that they are not."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import sparse
from systems_to_solve import unmeasured

from qnewton_sk import SolveStatus, SystemMatrix, classical_backends
from qnewton_sk.solvers import CG, LDL, LU, Cholesky, SparseCG, SparseLU
from qnewton_sk.solvers.krylov import KrylovPath

pytestmark = pytest.mark.filterwarnings("error")

SOLVERS = {backend.name: backend.solver for backend in classical_backends()}
Q = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
SCALES = {
    np.float64: [1e-300, 1e-160, 1e-20, 1.0, 1e20, 1e160, 1e300],
    np.float32: [1e-30, 1e-15, 1.0, 1e15, 1e30],
}


def system(name, definite, dtype, matrix_scale, rhs_scale, shift=0.0, **facts):
    values = np.array([13.0, 5.0, 3.0, 2.0, 1.5, 1.0]) * (1 if definite else [1, -1, 1, -1, 1, 1])
    A = (Q * values) @ Q.T
    H = ((A + A.T) / 2 * matrix_scale).astype(dtype)
    stored = sparse.csr_array(H) if name.startswith("sparse") else H
    return unmeasured(
        SystemMatrix.from_entries(stored, semidefinite=definite),
        np.full(6, rhs_scale, dtype=dtype),
        1e-6,
        shift,
        positive_definite=True if definite else None,
        **facts,
    )


def true_residual(system, solution):
    A = system.matrix.entries()
    A = (A.toarray() if sparse.issparse(A) else A).astype(np.longdouble)
    b, x = system.rhs.astype(np.longdouble), solution.x.astype(np.longdouble)
    return float(np.sqrt(((A @ x - b) ** 2).sum() / (b**2).sum()))


@pytest.mark.parametrize("name", sorted(SOLVERS))
@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("definite", [True, False])
def test_a_success_is_one(name, dtype, definite):
    for matrix_scale, rhs_scale in product(SCALES[dtype], repeat=2):
        given = system(name, definite, dtype, matrix_scale, rhs_scale)
        if SOLVERS[name].rejection_reason(given.facts) is not None:
            continue
        solution = SOLVERS[name].solve(given)
        assert np.isfinite(solution.x).all()
        if solution.status is SolveStatus.SUCCESS:
            assert true_residual(given, solution) < 1e-3
        magnitude, limits = math.log10(rhs_scale) - math.log10(matrix_scale), np.finfo(dtype)
        in_range = math.log10(limits.tiny) + 3 < magnitude < math.log10(limits.max) - 3
        if in_range and definite and "single" not in name:
            assert solution.status is SolveStatus.SUCCESS, (matrix_scale, rhs_scale)


@pytest.mark.parametrize("name", ["cg", "more_sorensen", "more_sorensen_single"])
@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("definite", [True, False])
@pytest.mark.parametrize("radius", [1e-200, 1.0, 1e200])
def test_a_step_inside_a_radius_moves_or_says_why(name, dtype, definite, radius):
    for matrix_scale, rhs_scale in product(SCALES[dtype], repeat=2):
        given = system(name, definite, dtype, matrix_scale, rhs_scale, 1e-3 * matrix_scale, radius=radius)
        if SOLVERS[name].rejection_reason(given.facts) is not None:
            continue
        solution = SOLVERS[name].solve(given)
        if solution.status is SolveStatus.SUCCESS:
            assert solution.x.any() and np.isfinite(solution.x).all()
            assert math.hypot(*solution.x.astype(float)) <= 1.3 * radius


@pytest.mark.parametrize("solver", [CG(), SparseCG()], ids=str)
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_conjugate_gradients_do_not_depend_on_the_scale_of_the_right_hand_side(solver, scale):
    name = "sparse_cg" if isinstance(solver, SparseCG) else "cg"
    ordinary, extreme = (solver.solve(system(name, True, np.float64, 1.0, s)) for s in (1.0, scale))
    assert extreme.status is SolveStatus.SUCCESS and extreme.products == ordinary.products
    np.testing.assert_allclose(extreme.x / scale, ordinary.x, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("share", [1e-100, 1e-3, 0.3])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_path_of_any_scale_is_cut_at_its_radius(scale, share, sign):
    A, b = sign * np.diag([1.0, 2.0, 5.0]), scale * np.array([1.0, -2.0, 0.5])
    cut = KrylovPath(b).cut(lambda v: A @ v, scale * share, 1e-10, 10)
    assert cut.how == ("boundary" if sign > 0 else "negative")
    assert math.hypot(*(cut.x / scale)) == pytest.approx(share, rel=1e-9)


@pytest.mark.parametrize("solver", [LU(), LDL(), Cholesky(), CG(), SparseLU(), SparseCG()], ids=str)
def test_no_solver_takes_a_matrix_that_is_not_symmetric(solver):
    H = np.array([[4.0, 1.0], [0.0, 3.0]])
    with pytest.raises(ValueError, match="`H` must be symmetric"):
        solver.solve(unmeasured(SystemMatrix.from_entries(H), np.ones(2), 1e-6))
