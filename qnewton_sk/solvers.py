"""Classical solvers of one system: LU, Cholesky, LDL^T, Woodbury and conjugate gradients."""

import math

import numpy as np
from scipy import linalg
from sklearn.base import BaseEstimator

from .factorisations import (
    cholesky_factor,
    cholesky_solve,
    is_finite,
    ldl_factor,
    ldl_solve,
    lu_factor,
    lu_solve,
)
from .system import Solution, SolveStatus


def finish(system, x, status=SolveStatus.SUCCESS, **info):
    """Return the `Solution` for x with its measured residual; the status falls where the residual says so."""
    if not is_finite(x):
        return failure(system, SolveStatus.NON_FINITE, **info)
    image = system.matrix.product(x)
    size = math.sqrt(system.rhs @ system.rhs)
    residual = image - system.rhs
    relative = math.sqrt(residual @ residual) / size if size else 0.0
    if not math.isfinite(relative):
        return failure(system, SolveStatus.NON_FINITE, **info)
    # A direct solve is backward stable: its residual is small unless the matrix is singular to working
    # precision, so half the digits of the dtype tell a broken solve from a merely ill-conditioned one.
    if status is SolveStatus.SUCCESS and relative > max(system.tol, math.sqrt(np.finfo(image.dtype).eps)):
        status = SolveStatus.INACCURATE
    return Solution(x, status, relative, info, image)


def failure(system, status, **info):
    """Return the `Solution` that says why there is none; x is zero."""
    zero = np.zeros_like(system.rhs)
    return Solution(zero, status, math.inf if system.rhs.any() else 0.0, info, zero)


class _Direct(BaseEstimator):
    """Factorise, or take the factorisation that the matrix keeps, and substitute."""

    _factor = _solve = None
    _broken = SolveStatus.SINGULAR

    def refusal(self, facts):
        """Return why this solver cannot take the system, or None."""
        return None

    def solve(self, system):
        """Return the `Solution` of a `LinearSystem`."""
        payload = type(self)._factor(system.matrix)
        if payload[-1] < 0:
            return failure(system, SolveStatus.NON_FINITE)
        if payload[-1] > 0:
            return failure(system, self._broken)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return finish(system, type(self)._solve(payload, system.rhs))


class LU(_Direct):
    """Gaussian elimination with partial pivoting, the paper's classical solver: 2/3 N^3 operations.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.prepare import prepare
    >>> from qnewton_sk.solvers import LU
    >>> from qnewton_sk.system import SystemMatrix
    >>> H = SystemMatrix.from_entries(np.array([[2.0, 1.0], [1.0, 3.0]]))
    >>> LU().solve(prepare(H, np.array([3.0, 4.0]), tol=1e-8, shift=0.0)).x
    array([1., 1.])
    """

    _factor, _solve = lu_factor, lu_solve


class Cholesky(_Direct):
    """L L^T: 1/3 N^3 operations, for positive definite matrices; the failure tells that one is not."""

    _factor, _solve = cholesky_factor, cholesky_solve
    _broken = SolveStatus.NOT_POSITIVE_DEFINITE

    def refusal(self, facts):
        """Refuse a matrix known not to be positive definite."""
        return "the matrix is not positive definite" if facts.positive_definite is False else None


class LDL(_Direct):
    """Bunch-Kaufman L D L^T: 1/3 N^3 operations, for symmetric indefinite matrices."""

    _factor, _solve = ldl_factor, ldl_solve


class Woodbury(BaseEstimator):
    """(G^T G + D)^-1 for G of few rows and a positive diagonal D, by an m x m Cholesky.

    x = D^-1 (v - G^T (I + G D^-1 G^T)^-1 G D^-1 v) (Woodbury 1950; Golub and Van Loan, section 2.1.4).
    """

    def refusal(self, facts):
        """Refuse where there is no factor, or no shift that makes D positive."""
        if facts.rank is None:
            return "the matrix is not known as a low-rank product plus a diagonal"
        if facts.shift <= 0:
            return "the shift must be positive for the inverse of the diagonal"
        return None

    def solve(self, system):
        """Return the `Solution` of a `LinearSystem`."""
        matrix, rhs = system.matrix, system.rhs
        G = matrix.factor()
        diagonal = np.asarray(matrix.factor_diagonal + matrix.shift, dtype=G.dtype)
        if not is_finite(G) or not np.all(diagonal > 0):
            return failure(system, SolveStatus.NON_FINITE if np.all(diagonal > 0) else SolveStatus.SINGULAR)
        scaled = G / diagonal
        core = np.eye(len(G), dtype=G.dtype) + scaled @ G.T
        try:
            c = linalg.cho_factor(core, lower=True, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            return failure(system, SolveStatus.NOT_POSITIVE_DEFINITE)
        inner = linalg.cho_solve(c, scaled @ rhs, check_finite=False)
        return finish(system, rhs / diagonal - scaled.T @ inner)


class CG(BaseEstimator):
    """Conjugate gradients on products alone, stopped at negative curvature (Steihaug 1983).

    Parameters
    ----------
    max_iter : int, default=None
        Products at most; by default 2 n.
    preconditioned : bool, default=True
        Use the matrix's preconditioner where it has one.
    """

    def __init__(self, max_iter=None, preconditioned=True):
        self.max_iter = max_iter
        self.preconditioned = preconditioned

    def refusal(self, facts):
        """Refuse a matrix known to be indefinite."""
        return "the matrix is not positive definite" if facts.positive_definite is False else None

    def solve(self, system):
        """Return the `Solution` of a `LinearSystem`; `info` has "iterations".

        At negative curvature x is the last iterate, or the preconditioned right-hand side where that is
        the very first direction; both descend.
        """
        matrix, b = system.matrix, system.rhs
        limit = self.max_iter or 2 * matrix.n
        solve = matrix.preconditioner(matrix.shift) if self.preconditioned and matrix.preconditioner else None
        x, r = np.zeros_like(b), b.copy()
        target = system.tol * math.sqrt(b @ b)
        z = solve(r) if solve else r
        p, rz, status = z.copy(), r @ z, SolveStatus.SUCCESS
        iterations = 0
        while math.sqrt(r @ r) > target:
            if iterations == limit:
                status = SolveStatus.MAX_ITERATIONS
                break
            Ap = matrix.product(p)
            iterations += 1
            curvature = p @ Ap
            if not math.isfinite(curvature):
                return failure(system, SolveStatus.NON_FINITE, iterations=iterations)
            if curvature <= 0:
                status = SolveStatus.NEGATIVE_CURVATURE
                if iterations == 1:
                    x = z.copy()
                    r = b - matrix.product(x)
                break
            step = rz / curvature
            x += step * p
            r -= step * Ap
            z = solve(r) if solve else r
            rz, rz_old = r @ z, rz
            p *= rz / rz_old
            p += z
        size = math.sqrt(b @ b)
        relative = math.sqrt(r @ r) / size if size else 0.0
        if not math.isfinite(relative):
            return failure(system, SolveStatus.NON_FINITE, iterations=iterations)
        return Solution(x, status, relative, {"iterations": iterations}, b - r)
