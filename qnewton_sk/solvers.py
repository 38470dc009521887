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
from .krylov import KrylovPath
from .system import Solution, SolveStatus
from .validation import available_memory_bytes


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


SMALL_ORDER = 10_000
"""Order below which nobody asks for the memory: 2 GB with a factorisation."""


def no_room(facts):
    """Return why a matrix that is still to be assembled cannot be factorised in the memory there is, or None."""
    if facts.n < SMALL_ORDER or not facts.assembly_flops:
        return None
    needed, available = 2 * facts.itemsize * facts.n**2, available_memory_bytes()
    if needed <= available:
        return None
    return f"the matrix and its factorisation need {needed / 2**30:,.0f} GiB of {available / 2**30:,.0f} available"


class _Direct(BaseEstimator):
    """Factorise, or take the factorisation that the matrix keeps, and substitute."""

    _factor = _solve = None
    _broken = SolveStatus.SINGULAR

    def refusal(self, facts):
        """Return why this solver cannot take the system, or None."""
        return no_room(facts)

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
        if facts.positive_definite is False:
            return "the matrix is not positive definite"
        return no_room(facts)


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
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self._solve(system)

    def _solve(self, system):
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
    """Conjugate gradients on products alone.

    A system with a radius is solved without its shift, cut where the path leaves the ball or meets
    negative curvature (Steihaug 1983); the products are kept on the matrix for a retry. A system without one
    is solved with its shift; at negative curvature x is the last iterate, or the right-hand side where that
    is the very first direction: both descend.

    Parameters
    ----------
    max_iter : int, default=None
        Products at most; by default 2 n, or fewer where the system says that a direct solver is then cheaper.
    """

    steps = "truncated"  # what they are inside a radius

    def __init__(self, max_iter=None):
        self.max_iter = max_iter

    def refusal(self, facts):
        """Refuse a matrix known to be indefinite, unless a radius bounds the step."""
        if facts.positive_definite is False and facts.radius is None:
            return "the matrix is not positive definite"
        return None

    def solve(self, system):
        """Return the `Solution`; `info` has "iterations" and, with a radius, the "shift" that x belongs to."""
        limit = self.max_iter or 2 * system.matrix.n
        if system.max_products is not None:
            limit = min(limit, system.max_products)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if system.facts.radius is None:
                return self._damped(system, limit)
            return self._bounded(system, limit)

    def _damped(self, system, limit):
        path = KrylovPath(system.matrix.product, system.rhs)
        cut = path.cut(math.inf, system.tol, limit)
        x, image = cut.x, cut.image
        if cut.how == "negative" and not x.any():
            x, image = system.rhs.copy(), system.matrix.product(system.rhs)
        return self._solution(system, x, image, cut.how, system.rhs - image, {"iterations": path.products})

    def _bounded(self, system, limit):
        matrix = system.matrix.shifted(0.0)
        path = matrix.shared("krylov", lambda: KrylovPath(matrix.product, system.rhs))
        if path.b is not system.rhs and not np.array_equal(path.b, system.rhs):
            path = KrylovPath(matrix.product, system.rhs)
        before = path.products
        cut = path.cut(system.facts.radius, system.tol, limit)
        residual, size = system.rhs - cut.image, float(cut.x @ cut.x)
        # On the boundary x is nearly the solution of (H + shift I) x = rhs: the shift of least residual.
        on_boundary = cut.how in ("boundary", "negative") and size > 0
        shift = max(0.0, float(residual @ cut.x) / size) if on_boundary else 0.0
        image = cut.image + system.matrix.shift * cut.x
        how = "boundary" if cut.how == "negative" else cut.how
        info = {"iterations": path.products, "new_products": path.products - before, "shift": shift}
        info["norm"] = path.norm()
        return self._solution(system, cut.x, image, how, residual - shift * cut.x, info)

    def _solution(self, system, x, image, how, residual, info):
        size = math.sqrt(system.rhs @ system.rhs)
        relative = math.sqrt(residual @ residual) / size if size else 0.0
        status = _STATUS[how] if math.isfinite(relative) else SolveStatus.NON_FINITE
        if status is SolveStatus.NON_FINITE:
            return failure(system, status, **info)
        return Solution(x, status, relative, info, image)


_STATUS = {
    "inside": SolveStatus.SUCCESS,
    "boundary": SolveStatus.SUCCESS,
    "negative": SolveStatus.NEGATIVE_CURVATURE,
    "limit": SolveStatus.MAX_ITERATIONS,
    "non_finite": SolveStatus.NON_FINITE,
}
