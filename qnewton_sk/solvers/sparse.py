"""Solvers for matrices held sparse, with their costs: sparse LU, and CG with a diagonal preconditioner."""

import math

import numpy as np

from qnewton_sk.machine import REFERENCE_RATES
from qnewton_sk.systems import (
    CostEstimate,
    CostModel,
    Solver,
    SolveStatus,
    euclidean_norm,
    failure,
    max_abs,
    power_of_two,
    scale_of,
    solution_of,
    sparse_lu_core,
    sparse_lu_flops,
)

from .conjugate_gradients import CGCost

SETUP_CALLS = 8
"""Fixed cost of a sparse factorisation, in calls of a dense one (measured at n = 100)."""

NOT_SPARSE = "the matrix is not held sparse; set `oracle_sparsity`"


class SparseLU(Solver):
    """SuperLU with a minimum degree ordering; any symmetric matrix that is held sparse.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from qnewton_sk.conditioning.prepare import prepare
    >>> from qnewton_sk.solvers.sparse import SparseLU
    >>> from qnewton_sk.systems.system_matrix import SystemMatrix
    >>> H = SystemMatrix.from_entries(sparse.diags_array([1.0, 2.0, 4.0], format="csr"))
    >>> SparseLU().solve(prepare(H, np.ones(3), tol=1e-8, shift=0.0)).x
    array([1.  , 0.5 , 0.25])
    """

    def rejection_reason(self, facts):
        """Refuse a matrix that is not held sparse."""
        return NOT_SPARSE if facts.nnz is None else None

    def solve(self, system):
        """Return the `Solution` of a `LinearSystem`."""
        factorisation = system.matrix.factorisation("sparse_lu")
        if factorisation.status is not SolveStatus.SUCCESS:
            return failure(system, factorisation.status)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return solution_of(system, factorisation.solve(system.rhs).astype(system.rhs.dtype, copy=False))


class SparseCG(Solver):
    """Conjugate gradients on the stored nonzeros, preconditioned by the diagonal.

    Parameters
    ----------
    max_iter : int, default=None
        Maximum number of products; by default 2 n.
    """

    def __init__(self, max_iter=None):
        self.max_iter = max_iter

    def rejection_reason(self, facts):
        """Refuse a matrix that is not held sparse, or known to be indefinite."""
        if facts.nnz is None:
            return NOT_SPARSE
        return "the matrix is not positive definite" if facts.positive_definite is False else None

    def solve(self, system):
        """Return the `Solution` of a `LinearSystem`.

        A diagonal that is not positive, or negative curvature met on the way, ends with
        `SolveStatus.NEGATIVE_CURVATURE` and the last iterate, which descends.
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self._solve(system)

    def _solve(self, system):
        matrix, b = system.matrix, system.rhs
        diagonal = matrix.entries().diagonal() + matrix.shift
        if not np.isfinite(diagonal).all():
            return failure(system, SolveStatus.NON_FINITE, products=0)
        if not (diagonal > 0).all():
            return solution_of(system, b.copy(), SolveStatus.NEGATIVE_CURVATURE, products=1)
        inverse = (1 / diagonal).astype(b.dtype)
        if not np.isfinite(inverse).all():
            return failure(system, SolveStatus.NON_FINITE, products=0)
        return self._iterate(system, inverse, power_of_two(max_abs(b), b.dtype))

    def _iterate(self, system, inverse, scale):
        """Iterate on b / scale: a power of two changes no digit, and keeps squares in the range of the dtype."""
        matrix, b = system.matrix, system.rhs / scale
        x, r, target = np.zeros_like(b), b.copy(), system.tol * euclidean_norm(b)
        z = inverse * r
        p, rz = z.copy(), r @ z
        for products in range((self.max_iter or 2 * matrix.n) + 1):
            if euclidean_norm(r) <= target:
                return self._solution(system, scale * x, SolveStatus.SUCCESS, scale * (b - r), products)
            Ap = matrix.product(p)
            curvature = p @ Ap
            if not math.isfinite(curvature):
                return failure(system, SolveStatus.NON_FINITE, products=products)
            if curvature <= 0:
                x = scale * (x if products else z)
                return solution_of(system, x, SolveStatus.NEGATIVE_CURVATURE, products=products + 1)
            step = rz / curvature
            x += step * p
            r -= step * Ap
            z = inverse * r
            rz, previous = r @ z, rz
            p = z + rz / previous * p
        return self._solution(system, scale * x, SolveStatus.MAX_ITERATIONS, scale * (b - r), products)

    @staticmethod
    def _solution(system, x, status, image, products):
        # numbers near the ends of the range have lost digits, so that their image has to be measured
        image = image if scale_of(x) == 1.0 else None
        return solution_of(system, x, status, image=image, products=products)


class SparseLUCost(CostModel):
    """Flops of a sparse LU of a random pattern, at the rate of a dense LU of its supernodes.

    SuperLU eliminates supernodes of a few dozen columns: measured 3 to 10 GFLOP/s where a dense LU of
    order 32 to 64 runs at 3 to 9.

    Parameters
    ----------
    rates : Rates, default=None
        Rates of the linear algebra; `REFERENCE_RATES` by default.
    """

    def __init__(self, rates=None):
        self.rates = rates

    def __call__(self, facts, tol):
        """Return the `CostEstimate` of one solve; `tol` does not matter to a direct solver."""
        rates = self.rates or REFERENCE_RATES
        flops = 0.0 if "sparse_lu" in facts.factorised else sparse_lu_flops(facts.n, facts.nnz)
        terms = {
            "assembly_seconds": rates.seconds("gemm", facts.assembly_flops, facts.n),
            "factorisation_seconds": rates.seconds(
                "lu", flops, min(64, sparse_lu_core(facts.n, facts.nnz) / 8)
            ),
            "call_seconds": SETUP_CALLS * rates.call_seconds,
        }
        return CostEstimate(
            sum(terms.values()),
            terms,
            "fill of a random pattern under minimum degree (fitted)",
            assembly_seconds=terms["assembly_seconds"],
        )


class SparseCGCost(CGCost):
    """As `CGCost`, with products that move the stored nonzeros."""

    def _seconds_per_product(self, facts, rates):
        # A nonzero moves its value, its 4-byte column and an entry of the vector.
        return (2 * facts.itemsize + 4) * facts.nnz / rates.bytes_per_second + rates.call_seconds
