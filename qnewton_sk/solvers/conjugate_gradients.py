"""Conjugate gradients, which only need matvecs, with the model of their cost."""

import math

import numpy as np

from qnewton_sk.machine import REFERENCE_RATES
from qnewton_sk.systems import CostEstimate, CostModel, Solver, SolveStatus, failure, scale_of, solution_of

from .krylov import KrylovPath, kept_path


class CG(Solver):
    """Conjugate gradients.

    A system with a radius is solved without its shift: the path is cut where it leaves the ball or meets
    negative curvature (Steihaug 1983), and kept on the matrix for a retry. A system without a radius is solved with
    its shift. At negative curvature x is then the last iterate, or the right-hand side if the very first direction
    has it; both are directions of descent.

    Parameters
    ----------
    max_iter : int, default=None
        Maximum number of products; by default 2 n, or fewer if a direct solver is cheaper from some number on.
    """

    needs = "products"
    bounds_by = "radius"

    def __init__(self, max_iter=None):
        self.max_iter = max_iter

    def rejection_reason(self, facts):
        """Refuse a matrix known to be indefinite, unless a radius bounds the step."""
        if facts.positive_definite is False and facts.radius is None:
            return "the matrix is not positive definite"
        return None

    def solve(self, system):
        """Return the `Solution`; with a radius, its `shift` is the one to which x belongs."""
        limit = self.max_iter or 2 * system.matrix.n
        if system.max_products is not None:
            limit = min(limit, system.max_products)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if system.facts.radius is None:
                return self._damped(system, limit)
            return self._bounded(system, limit)

    def _damped(self, system, limit):
        path = KrylovPath(system.rhs)
        cut = path.cut(system.matrix.product, math.inf, system.tol, limit)
        # numbers near the ends of the range have lost digits, so that their image has to be measured
        x, image = cut.x, cut.image if scale_of(cut.x) == 1.0 else None
        if cut.how == "negative" and not x.any():
            x, image = system.rhs.copy(), system.matrix.product(system.rhs)
        return _solution(system, cut.how, x, image=image, products=path.products)

    def _bounded(self, system, limit):
        matrix = system.matrix.shifted(0.0)
        path = kept_path(matrix, system.rhs)
        before = path.products
        cut = path.cut(matrix.product, system.facts.radius, system.tol, limit)
        residual = system.rhs - cut.image
        cut_at_radius = cut.how in ("boundary", "negative")
        shift = _least_shift(cut.x, residual) if cut_at_radius else 0.0
        return _solution(
            system,
            "boundary" if cut.how == "negative" else cut.how,
            cut.x,
            image=cut.image + system.matrix.shift * cut.x,
            residual=residual - shift * cut.x,
            shift=shift,
            products=path.products,
            norm=path.norm(),
            cut_at_radius=cut_at_radius,
            new_products=path.products - before,
        )


def _least_shift(x, residual):
    """Return the shift >= 0 for which x, at the boundary, comes closest to solving (H + shift I) x = rhs."""
    unit, scale = scale_of(x), scale_of(residual)
    if (unit, scale) != (1.0, 1.0):
        return _least_shift(x / unit, residual / scale) * (scale / unit)
    square = float(x @ x)
    return max(0.0, float(residual @ x) / square) if square > 0 else 0.0


def _solution(system, how, x, *, products, **fields):
    status = _STATUS[how]
    if status is SolveStatus.NON_FINITE:
        return failure(system, status, products=products)
    return solution_of(system, x, status, products=products, **fields)


_STATUS = {
    "inside": SolveStatus.SUCCESS,
    "boundary": SolveStatus.SUCCESS,
    "negative": SolveStatus.NEGATIVE_CURVATURE,
    "limit": SolveStatus.MAX_ITERATIONS,
    "non_finite": SolveStatus.NON_FINITE,
}


class CGCost(CostModel):
    """The number of products, by kappa and tol or as observed, times the cost of one.

    ceil(sqrt(kappa) / 2 * ln(2 / tol)) products (Saad, Iterative Methods for Sparse Linear Systems, 2nd
    ed., equation 6.128).

    Parameters
    ----------
    rates : Rates, default=None
        Rates of the linear algebra; `REFERENCE_RATES` by default.
    """

    def __init__(self, rates=None):
        self.rates = rates

    def __call__(self, facts, tol):
        """Return the `CostEstimate` of one solve to the relative error `tol`."""
        rates = self.rates or REFERENCE_RATES
        products = float(min(self._products(facts, tol), 2.0 * facts.n))
        seconds_per_product = self._seconds_per_product(facts, rates)
        terms = {
            "products": products,
            "product_seconds": seconds_per_product,
            "call_seconds": rates.call_seconds,
        }
        return CostEstimate(
            products * seconds_per_product + rates.call_seconds,
            terms,
            "Saad (2003), equation 6.128",
            seconds_per_product=seconds_per_product,
        )

    def _products(self, facts, tol):
        if facts.iterations is not None:
            return facts.iterations
        expected = math.sqrt(facts.kappa or facts.n) / 2 * math.log(2 / tol)
        return math.ceil(min(expected, 2.0 * facts.n))  # kappa may be infinite

    def _seconds_per_product(self, facts, rates):
        return rates.product_seconds(facts)
