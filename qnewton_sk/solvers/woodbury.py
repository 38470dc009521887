"""The Woodbury identity for low-rank matrices, with its cost."""

import numpy as np
from scipy import linalg

from qnewton_sk.machine import FLOPS, REFERENCE_RATES
from qnewton_sk.systems import (
    CostEstimate,
    CostModel,
    Solver,
    SolveStatus,
    failure,
    is_finite,
    solution_of,
)


class Woodbury(Solver):
    """(G^T G + D)^-1 for G of few rows and a positive diagonal D, by an m x m Cholesky.

    x = D^-1 (v - G^T (I + G D^-1 G^T)^-1 G D^-1 v) (Woodbury 1950; Golub and Van Loan, section 2.1.4), with
    G scaled by D^-1/2, so that the small matrix is a product of one array with itself.
    """

    needs = "factor"

    def rejection_reason(self, facts):
        """Refuse a matrix that has no factor, or no shift that makes D positive."""
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
        root = np.sqrt(diagonal)
        scaled = G / root
        core = scaled @ scaled.T  # of one array with itself: half the operations
        core.reshape(-1)[:: len(core) + 1] += 1
        potrf, potrs = linalg.get_lapack_funcs(("potrf", "potrs"), (core,))
        # symmetric, hence its own transpose, which LAPACK takes without a copy
        lower, info = potrf(core.T, lower=1, overwrite_a=1, clean=0)
        if info:
            return failure(system, SolveStatus.NOT_POSITIVE_DEFINITE)
        right = rhs / root
        inner, _ = potrs(lower, scaled @ right, lower=1)
        return solution_of(system, (right - scaled.T @ inner) / root)


class WoodburyCost(CostModel):
    """2 m^2 N + m^3/3 operations for the factor G of shape (m, N), and its computation if that is still to be done.

    Half of the first term suffices, since the small matrix is symmetric; but in a fit, whose matrices come in fresh
    memory, a solve takes as long as this predicts, or longer.
    """

    def __init__(self, rates=None):
        self.rates = rates

    def __call__(self, facts, tol):
        """Return the `CostEstimate` of one solve; `tol` does not matter to a direct solver."""
        rates, m = self.rates or REFERENCE_RATES, facts.rank
        terms = {
            "factor_seconds": rates.seconds("gemm", facts.factor_flops, facts.n),
            "gram_seconds": rates.seconds("gemm", 2.0 * m**2 * facts.n, m),
            "cholesky_seconds": rates.seconds("cholesky", FLOPS["cholesky"] * m**3, m),
            "scaling_seconds": 3 * facts.itemsize * m * facts.n / rates.bytes_per_second,
            "call_seconds": 2 * rates.call_seconds,
        }
        return CostEstimate(
            sum(terms.values()),
            terms,
            "Golub and Van Loan (2013), section 2.1.4",
            assembly_seconds=terms["factor_seconds"],
        )
