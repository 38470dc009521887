"""Estimators of the condition number: from all eigenvalues, by Lanczos, from products; and the choice of one."""

import math

import numpy as np
from scipy import linalg

from qnewton_sk.solvers import kept_path
from qnewton_sk.systems import FACTORISATIONS, SolveStatus

from .bounds import ShiftCondition, factorised
from .lanczos import block_lanczos, working_dtype
from .record import ConditionEstimator, ConditionNumber, ratio


class ExactCondition(ConditionEstimator):
    """Ratio of the extreme magnitudes among all eigenvalues."""

    def estimate(self, matrix):
        """Return the exact condition number, to rounding, for 4/3 n^3 flops."""
        A, flops = matrix.dense(), 4 / 3 * matrix.n**3
        if not np.isfinite(A).all():
            return ConditionNumber(math.inf, "exact", "exact", 0.0)
        values = linalg.eigh(A, eigvals_only=True, overwrite_a=True, check_finite=False, driver="evd")
        magnitudes = np.abs(values)
        kappa, norm = ratio(magnitudes.max(), magnitudes.min()), float(magnitudes.max())
        return ConditionNumber(kappa, "exact", "exact", flops, norm, bool(values[0] > 0))


SKETCH, LEADING = 64, 16
"""Rows whose random sum starts a Lanczos iteration for the norm, and how many of them have the largest
diagonal entries: two products then give 0.9 to 1 of the norm on Hessians of digits, else 0.4 to 1."""


def norm_start(matrix):
    """Return a vector of shape (n, 1) rich in the eigenvectors of large magnitude, or None if there are no entries.

    The product with a sparse random vector: a power step for the price of reading a few rows, among them
    those of the largest diagonal entries.
    """
    if not matrix.assembled or matrix.is_sparse:
        return None
    H, rng = matrix.entries(), np.random.default_rng(0)
    chosen = rng.permutation(matrix.n)[:SKETCH]
    chosen[:LEADING] = np.argsort(-np.abs(H.diagonal()))[: min(LEADING, chosen.size)]
    with np.errstate(invalid="ignore", over="ignore"):
        v = rng.standard_normal(chosen.size) @ H[chosen]
        size = np.linalg.norm(v)
    return (v / size)[:, None] if np.isfinite(size) and size > 0 else None


class LanczosCondition(ConditionEstimator):
    """Extreme magnitudes by block Lanczos on the matrix and on its factorised inverse.

    Parameters
    ----------
    tol : float, default=0.005
        Stop either iteration once a step adds no more than this share; 0 for all steps.
    patience : int, default=3
        Number of such steps in a row: one alone may add little while another eigenvalue comes up.
    max_steps : int, default=60
        Maximum number of block steps; two fewer for the norm if tol is 0, which then starts from a sketch of A.
    block : int, default=4
        Vectors per step; with a few at once, an eigenvalue is harder to miss.
    """

    def __init__(self, tol=0.005, patience=3, max_steps=60, block=4):
        self.tol = tol
        self.patience = patience
        self.max_steps = max_steps
        self.block = block

    def estimate(self, matrix):
        """Return an estimate from below for one factorisation, unless there is one, and some 10 products."""
        start = norm_start(matrix) if self.tol == 0 else None
        high = self._run(matrix.block_product(), matrix, start)
        if not np.isfinite(high.values).all():
            return ConditionNumber(math.inf, "estimate", "lanczos", high.products * matrix.product_flops)
        factorisation, flops = factorised(matrix, "ldl")
        flops += high.products * matrix.product_flops
        norm = high.largest_magnitude
        if factorisation.status is not SolveStatus.SUCCESS:
            return ConditionNumber(math.inf, "estimate", "lanczos", flops, norm)
        low = self._run(factorisation.solve, matrix)
        flops += low.products * 2.0 * matrix.n**2
        definite = _definite(factorisation, min(low.values[0], high.values[0]))
        inverse_norm = low.largest_magnitude
        kappa = ratio(norm, 1 / inverse_norm if inverse_norm else math.inf)
        return ConditionNumber(kappa, "estimate", "lanczos", flops, norm, definite)

    def _run(self, apply, matrix, start=None):
        return block_lanczos(
            apply,
            matrix.n,
            block=self.block,
            max_steps=self.max_steps if start is None else max(2, self.max_steps - 2),
            tol=self.tol,
            patience=self.patience,
            start=start,
            dtype=working_dtype(matrix.dtype),
        )


def _definite(factorisation, lowest):
    """Whether a matrix is positive definite: known from symmetric pivots, else False or unknown (None)."""
    inertia = factorisation.inertia()
    if inertia is not None:
        return inertia.positive_definite
    return None if lowest > 0 else False


class ProductsCondition(ConditionEstimator):
    """Estimate from below by a few products, without assembling the matrix.

    Parameters
    ----------
    products : int, default=24
        Number of products; more only sharpen the estimate.
    """

    def __init__(self, products=24):
        self.products = products

    def estimate(self, matrix):
        """Return max ||A x|| max 1/||A x|| over unit vectors of the Krylov space, at most kappa.

        For a semidefinite matrix plus shift: max ||A x|| / shift, as the smallest eigenvalue is at least the
        shift.
        """
        ritz = block_lanczos(
            matrix.block_product(),
            matrix.n,
            block=1,
            max_steps=self.products,
            dtype=working_dtype(matrix.dtype),
        )
        flops = ritz.products * matrix.product_flops
        if not np.isfinite(ritz.values).all():
            return ConditionNumber(math.inf, "estimate", "products", flops)
        definite = False if ritz.values[0] < 0 else None
        norm = ritz.largest_magnitude
        if matrix.semidefinite and matrix.shift > 0:
            return ConditionNumber(ratio(norm, matrix.shift), "estimate", "products", flops, norm, True)
        kappa = math.inf if norm == 0 else ratio(norm * ritz.inverse_bound, 1.0)
        return ConditionNumber(kappa, "estimate", "products", flops, norm, definite)


class NormOverShift(ConditionEstimator):
    """(norm + shift) / shift, for a matrix whose smallest eigenvalue the shift lifts; a few products for the norm.

    For H positive semidefinite this is an upper bound but for the error of the norm. For any other H it is an
    estimate: the Hessian of a net has a bulk of eigenvalues about zero (Sagun, Evci, Guney, Dauphin, Bottou 2017,
    arXiv:1706.04454).

    Parameters
    ----------
    norm_hint : float, default=None
        Spectral norm of H if it is known; saves the products.
    rhs : ndarray of shape (n,), default=None
        Right-hand side of a system that a radius bounds. Without entries, the norm then comes from the path of
        conjugate gradients, which need the same products.
    """

    def __init__(self, norm_hint=None, rhs=None):
        self.norm_hint = norm_hint
        self.rhs = rhs

    def estimate(self, matrix):
        """Return an estimate for at most 7 products."""
        shift = matrix.shift
        norm, products = (None, 0) if self.norm_hint is None else (self.norm_hint + shift, 0)
        if norm is None and self.rhs is not None and not matrix.assembled:
            norm, products = self._along_path(matrix)
        if norm is None:
            ritz = self._lanczos(matrix)
            norm, products = ritz.largest_magnitude, products + ritz.products
        flops = products * matrix.product_flops
        known = norm if math.isfinite(norm) else None
        definite = True if matrix.semidefinite else None
        return ConditionNumber(ratio(norm, shift), "estimate", "shift", flops, known, definite)

    def _along_path(self, matrix):
        """Return (norm, products); no norm if the right-hand side is zero or the curvature along it not positive."""
        H = matrix.shifted(0.0)
        path = kept_path(H, self.rhs)
        before = path.products
        path.cut(H.product, math.inf, 0.0, PATH_STEPS[matrix.n > LARGE_ORDER])
        norm = path.norm()
        return None if norm is None else norm + matrix.shift, path.products - before

    @staticmethod
    def _lanczos(matrix):
        start = norm_start(matrix)
        steps = NORM_STEPS[matrix.n > LARGE_ORDER] + (start is None)
        return block_lanczos(
            lambda V: matrix.product(V[:, 0])[:, None],
            matrix.n,
            block=1,
            max_steps=steps,
            start=start,
            dtype=matrix.dtype,
        )


NORM_STEPS = {False: 5, True: 2}
"""Lanczos products for the norm, by whether the order is above `LARGE_ORDER`; one more if there are no entries.
A product costs 1 % of an LU solve at N = 4000."""

PATH_STEPS = {False: 4, True: 3}
"""The same for the path of conjugate gradients, which starts from the gradient: at the end of fits of seven data sets,
three products gave 0.94 of the norm in the geometric mean and at least 0.66, four 0.99 and 0.91."""

LARGE_ORDER = 1500
"""Order above which a product is expensive beside the overhead of a Lanczos step."""


class AutoCondition(ConditionEstimator):
    """The cheapest suitable one of the other estimators, by size, structure and existing factorisations.

    - A factorisation exists: a few steps of "lanczos" with it.
    - Semidefinite plus shift: "shift" if there are entries, else "products". In a fit: `NormOverShift`.
    - No entries: "products"; in a fit, with a shift: `NormOverShift`.
    - In a fit, inside a radius and with a norm from an earlier step: `NormOverShift`, since a factorisation of
      the damped matrix would be used only for the measurement.
    - Order at most `exact_up_to`: "exact".
    - Else a few steps of "lanczos" with a new factorisation, which the solver uses again.

    A few steps of Lanczos give 0.8 to 1 of the truth as measured: enough to choose a solver by.

    Parameters
    ----------
    exact_up_to : int, default=64
        Largest order for which all eigenvalues are computed.
    steps : int, default=4
        Products, and substitutions, of the quick "lanczos"; half as many more up to order 1000, where they
        cost less beside the factorisation's overhead.
    """

    def __init__(self, exact_up_to=64, steps=4):
        self.exact_up_to = exact_up_to
        self.steps = steps

    def choose(self, matrix, *, in_fit=False, norm_hint=None, has_radius=False, rhs=None):
        """Return the estimator that `estimate`, or with `in_fit` that `estimate_in_fit`, uses."""
        if not FACTORISATIONS.keys().isdisjoint(matrix.factorised):
            return self._quick(matrix)
        known = matrix.semidefinite or not matrix.assembled or (has_radius and norm_hint is not None)
        if in_fit and matrix.shift > 0 and known:
            return NormOverShift(norm_hint, rhs if has_radius else None)
        if not matrix.assembled:
            return ProductsCondition()
        if matrix.semidefinite and matrix.shift > 0:
            return ShiftCondition()
        return ExactCondition() if matrix.n <= self.exact_up_to else self._quick(matrix)

    def _quick(self, matrix):
        steps = self.steps if matrix.n > 1000 else math.ceil(1.5 * self.steps)
        return LanczosCondition(tol=0.0, max_steps=steps, block=1)

    def estimate(self, matrix):
        """Return the result of the chosen estimator."""
        return self.choose(matrix).estimate(matrix)

    def estimate_in_fit(self, matrix, norm_hint=None, has_radius=False, rhs=None):
        """Return the result of the chosen estimator for the matrix of a step."""
        chosen = self.choose(matrix, in_fit=True, norm_hint=norm_hint, has_radius=has_radius, rhs=rhs)
        return chosen.estimate(matrix)
