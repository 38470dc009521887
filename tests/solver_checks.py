"""Systems for the tests of the solvers, and checks of what the solvers claim."""

import math

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import sparse
from systems_to_solve import unmeasured

from qnewton_sk.solvers.conjugate_gradients import CG
from qnewton_sk.solvers.dense import LDL, LU, Cholesky
from qnewton_sk.solvers.sparse import SparseCG, SparseLU
from qnewton_sk.solvers.woodbury import Woodbury
from qnewton_sk.systems.solution import SolveStatus
from qnewton_sk.systems.system_matrix import SystemMatrix

SEEDS = st.integers(0, 10**6)
DENSE = [LU(), Cholesky(), LDL(), CG()]
SPARSE = [SparseLU(), SparseCG()]
ALL = [*DENSE, Woodbury(), *SPARSE]


def name(value):
    return type(value).__name__ if type(value) in map(type, ALL) else None


def spectrum(seed, values):
    """A symmetric matrix with these eigenvalues in a random basis."""
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
    A = (Q * values) @ Q.T
    return (A + A.T) / 2


def low_rank(seed, n, rank, dtype=float):
    """G^T G + diagonal, with its factor."""
    rng = np.random.default_rng(seed)
    G, diagonal = rng.standard_normal((rank, n)).astype(dtype), rng.uniform(0, 1, n).astype(dtype)
    return SystemMatrix(
        n,
        assemble=lambda: G.T @ G + np.diag(diagonal),
        factor=lambda: G,
        rank=rank,
        factor_diagonal=diagonal,
        semidefinite=True,
        dtype=dtype,
    )


def system(H, tol=1e-10, shift=0.0, seed=0, **facts):
    matrix = H if isinstance(H, SystemMatrix) else SystemMatrix.from_entries(H)
    b = np.random.default_rng(seed).standard_normal(matrix.n).astype(matrix.dtype)
    return unmeasured(matrix, b, tol, shift, **facts)


def stored_for(solver, H):
    return sparse.csr_array(H) if isinstance(solver, (SparseLU, SparseCG)) else H


def check(solver, given, rtol=1e-6):
    """Check that the solution is that of LAPACK's general solver, and that its fields are correct."""
    solution = solver.solve(given)
    A = given.matrix.dense().astype(float)
    truth = np.linalg.solve(A, given.rhs.astype(float))
    assert solution.status is SolveStatus.SUCCESS
    np.testing.assert_allclose(solution.x, truth, rtol=rtol, atol=rtol * np.abs(truth).max())
    check_claims(solution, given, A)


def check_claims(solution, given, A):
    """Check that residual and image are those of x."""
    b, eps = given.rhs.astype(float), np.finfo(given.rhs.dtype).eps
    size = np.linalg.norm(A, 2) * np.linalg.norm(solution.x.astype(float))
    true = np.linalg.norm(A @ solution.x - b) / np.linalg.norm(b)
    assert solution.relative_residual == pytest.approx(
        true, rel=1e-3, abs=50 * eps * size / np.linalg.norm(b)
    )
    np.testing.assert_allclose(solution.image, A @ solution.x, atol=max(1e-6, 100 * eps) * max(size, eps))
    assert solution.x.dtype == given.rhs.dtype


def failed(solution, status):
    assert solution.status is status and not status.usable
    assert not solution.x.any() and not solution.image.any() and solution.relative_residual == math.inf
