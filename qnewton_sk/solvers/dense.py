"""Direct solvers of dense systems, LU, Cholesky and L D L^T, with the model of their cost."""

from typing import NamedTuple

import numpy as np

from qnewton_sk.machine import FLOPS, REFERENCE_RATES, available_memory_bytes
from qnewton_sk.systems import CostEstimate, CostModel, Solver, SolveStatus, failure, must, solution_of

SMALL_ORDER = 10_000
"""Order below which the available memory is not looked up: matrix and factorisation take 2 GB together."""


def no_room(facts):
    """Return why a matrix that is still to be assembled cannot be factorised in the available memory, or None."""
    if facts.n < SMALL_ORDER or not facts.assembly_flops:
        return None
    needed, available = 2 * facts.itemsize * facts.n**2, available_memory_bytes()
    if needed <= available:
        return None
    return f"the matrix and its factorisation need {needed / 2**30:,.0f} GiB of {available / 2**30:,.0f} available"


class _Direct(Solver):
    """Factorise the matrix, or take the factorisation that it keeps, and substitute."""

    _factorisation = ""

    def rejection_reason(self, facts):
        """Return why this solver cannot take the system, or None."""
        return no_room(facts)

    def solve(self, system):
        """Return the `Solution` of a `LinearSystem`."""
        factorisation = system.matrix.factorisation(self._factorisation)
        if factorisation.status is not SolveStatus.SUCCESS:
            return failure(system, factorisation.status)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return solution_of(system, factorisation.solve(system.rhs))


class LU(_Direct):
    """Gaussian elimination with partial pivoting, the paper's classical solver: 2/3 N^3 operations.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.prepare import prepare
    >>> from qnewton_sk.solvers.dense import LU
    >>> from qnewton_sk.systems.system_matrix import SystemMatrix
    >>> H = SystemMatrix.from_entries(np.array([[2.0, 1.0], [1.0, 3.0]]))
    >>> LU().solve(prepare(H, np.array([3.0, 4.0]), tol=1e-8, shift=0.0)).x
    array([1., 1.])
    """

    _factorisation = "lu"


class Cholesky(_Direct):
    """L L^T: 1/3 N^3 operations, for positive definite matrices; the status says if the matrix is not."""

    _factorisation = "cholesky"

    def rejection_reason(self, facts):
        """Refuse a matrix known not to be positive definite."""
        if facts.positive_definite is False:
            return "the matrix is not positive definite"
        return no_room(facts)


class LDL(_Direct):
    """Bunch-Kaufman L D L^T: 1/3 N^3 operations, for symmetric indefinite matrices."""

    _factorisation = "ldl"


class FactorisationSeconds(NamedTuple):
    """Predicted times of a solve by factorisations, in seconds."""

    assembly: float
    factorisation: float
    substitution: float
    calls: float

    def estimate(self, source, **more):
        """Return the `CostEstimate` of their sum; `more` holds further terms in seconds."""
        terms = {
            "assembly_seconds": self.assembly,
            "factorisation_seconds": self.factorisation,
            "substitution_seconds": self.substitution,
            "call_seconds": self.calls,
            **more,
        }
        return CostEstimate(sum(terms.values()), terms, source, assembly_seconds=self.assembly)


class FactorisationCost(CostModel):
    """The cost of a solver that factorises a dense matrix; a subclass defines `source` and `seconds`."""

    def source(self):
        """Return where the formula comes from."""
        raise NotImplementedError(f"{type(self).__name__} must define source()")

    def seconds(self, facts):
        """Return the `FactorisationSeconds` of one solve."""
        raise NotImplementedError(f"{type(self).__name__} must define seconds(facts)")

    def __call__(self, facts, tol):
        """Return the `CostEstimate` of one solve; `tol` does not matter to a direct solver."""
        return self.seconds(facts).estimate(self.source())


DIRECT_KERNELS = "lu", "cholesky", "ldl"
"""Factorisations whose rates are measured."""


class DirectCost(FactorisationCost):
    """C N^3 for one factorisation, plus the triangular solves and the assembly that is still to be done.

    Parameters
    ----------
    kernel : {"lu", "cholesky", "ldl"}
        The factorisation.
    rates : Rates, default=None
        Rates of the machine; by default the reference rates that ship with the package.
    """

    def __init__(self, kernel="lu", rates=None):
        self.kernel = kernel
        self.rates = rates

    def check(self):
        """Raise ValueError if a setting is out of range."""
        super().check()
        if not isinstance(self.kernel, str) or self.kernel not in DIRECT_KERNELS:
            raise must("kernel of a DirectCost", f"be one of {DIRECT_KERNELS}", self.kernel)

    def source(self):
        """Return where the formula comes from."""
        return f"{FLOPS[self.kernel]:.3g} N^3 flops at the machine's rate"

    def seconds(self, facts):
        """Return the `FactorisationSeconds` of one solve."""
        rates = self.rates or REFERENCE_RATES
        factorise = 0.0 if self.kernel in facts.factorised else FLOPS[self.kernel] * facts.n**3
        return FactorisationSeconds(
            assembly=rates.seconds("gemm", facts.assembly_flops, facts.n),
            factorisation=rates.seconds(self.kernel, factorise, facts.n),
            substitution=facts.itemsize * facts.n**2 / rates.bytes_per_second,
            calls=rates.call_seconds,
        )
