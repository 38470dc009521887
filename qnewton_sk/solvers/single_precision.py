"""Factorisation in single precision, corrected in double: half the time for the matrix and for its factors.

The residual r = b - A x, with the product in double precision, is solved for again with the factor of low precision
until it is small (Wilkinson 1963; Carson and Higham 2018, "Accelerating the solution of linear systems by iterative
refinement in three precisions"). Each correction gains -log10(kappa u) digits for a factor of rounding error u.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from qnewton_sk.machine import REFERENCE_RATES
from qnewton_sk.systems import (
    CostModel,
    Solution,
    Solver,
    SolveStatus,
    euclidean_norm,
    failure,
)

ROUNDING = 1e-6
"""Relative error of a factorisation in single precision, for orders up to a few thousand: some 16 units of 6e-8."""

MAX_SOLVES = 3
"""Maximum number of substitutions; if they do not suffice, the factor is too inaccurate for the system."""

MAX_RESIDUAL = 1e-3
"""Maximum relative residual, whatever the tolerance, since a correction costs almost nothing."""

MAX_RELATIVE_RADIUS = 1e15
"""Maximum radius relative to the right-hand side, and of its inverse: squares of such lengths, and the shifts that
belong to them, are in the range of single precision."""

PASS_CALLS = 5
"""Overhead of a pass over the data in single precision, which precedes its assembly, in calls: 0.25 ms."""


def solves_needed(facts, tol):
    """Return how many substitutions with a factor in single precision reach the relative residual `tol`.

    Examples
    --------
    >>> from qnewton_sk import SystemFacts
    >>> from qnewton_sk.solvers.single_precision import solves_needed
    >>> solves_needed(SystemFacts(n=100, kappa=100.0), 1e-6), solves_needed(SystemFacts(n=100, kappa=1e4), 1e-6)
    (2, 3)
    """
    digits = -math.log10(min(facts.kappa, 1.0 / ROUNDING) * ROUNDING)
    return math.ceil(-math.log10(min(tol, MAX_RESIDUAL)) / digits - 1e-9) if digits > 0 else math.inf


class SinglePrecision(Solver):
    """A solver by Cholesky factorisations, run on the matrix in single precision with the residual in double.

    If the residual does not become small enough, the solver runs again in double precision.

    Parameters
    ----------
    solver : object
        `Cholesky` or `MoreSorensen`.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.solvers.single_precision import SinglePrecision
    >>> from qnewton_sk.conditioning.prepare import prepare
    >>> from qnewton_sk.solvers.dense import Cholesky
    >>> from qnewton_sk.systems.system_matrix import SystemMatrix
    >>> H = SystemMatrix.from_entries(np.array([[2.0, 1.0], [1.0, 3.0]]), semidefinite=True)
    >>> solution = SinglePrecision(Cholesky()).solve(prepare(H, np.array([0.3, 0.4]), tol=1e-12, shift=0.1))
    >>> solution.relative_residual < 1e-12
    True
    """

    def __init__(self, solver):
        self.solver = solver

    @property
    def bounds_by(self):
        """How the solver bounds a step."""
        return self.solver.bounds_by

    def rejection_reason(self, facts):
        """Return why this solver cannot take the system, or None."""
        if facts.single_flops is None:
            return "there is no matrix in single precision"
        return self.solver.rejection_reason(in_single_precision(facts))

    def solve(self, system):
        """Return the `Solution` of a `LinearSystem`."""
        solution = shift = None
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            size = euclidean_norm(system.rhs)
            if 0 < size < math.inf:
                solution, shift = self._solve(system, size)
        if solution is not None:
            return solution
        reason = self.solver.rejection_reason(system.facts)
        if reason is not None:  # such as too little memory for entries of twice the size
            return failure(system, SolveStatus.FAILED, reason=reason)
        if shift is None:
            return self.solver.solve(system)
        # the search in double precision starts at the shift that single precision has found
        solution = self.solver.solve(replace(system, matrix=system.matrix.shifted(shift)))
        return _for_shift(solution, system.matrix.shift, shift)

    def _solve(self, system, size):
        """Return (solution, shift): no solution if single precision does not suffice, no shift if none was chosen."""
        single = system.matrix.single()
        facts = in_single_precision(system.facts)
        if (
            facts.radius is not None
        ):  # relative to the right-hand side, whose length becomes one: no square underflows
            facts = replace(facts, radius=facts.radius / size)
            if not 1 / MAX_RELATIVE_RADIUS < facts.radius < MAX_RELATIVE_RADIUS:
                return None, None
        rhs = (system.rhs / size).astype(np.float32)
        found = self.solver.solve(replace(system, matrix=single, rhs=rhs, facts=facts))
        if found.status not in (SolveStatus.SUCCESS, SolveStatus.INACCURATE):
            return None, None
        x, shift = size * found.x.astype(float), found.shift
        if shift is None:
            return _refined(system, system.matrix, single, x, min(system.tol, MAX_RESIDUAL)), None
        if found.cut_at_radius:
            return _checked(system, x, found), shift
        solution = _refined(system, system.matrix.shifted(shift), single.shifted(shift), x, system.tol)
        if solution is None:
            return None, shift
        solution = replace(solution, shift=shift, info={**found.info, **solution.info})
        return _for_shift(solution, system.matrix.shift, shift), shift


def _for_shift(solution, shift, used):
    """The solution of a system with the shift `used`, its image that of the matrix with `shift`."""
    if solution.image is None:
        return solution
    return replace(solution, image=solution.image + (shift - used) * solution.x)


@lru_cache(maxsize=2)  # several backends ask for the same facts in a row
def in_single_precision(facts):
    """Return the facts about the matrix in single precision."""
    return replace(facts, assembly_flops=facts.single_flops or 0.0, itemsize=4, factorised=())


def _checked(system, x, found):
    """The solution that was carried to the boundary, or None if double precision does not confirm it.

    It leaves a residual in any precision; the residual must be the same here, and the model must decrease.
    """
    shift = found.shift
    Hx = system.matrix.shifted(0.0).product(x)
    relative = euclidean_norm(Hx + shift * x - system.rhs) / euclidean_norm(system.rhs)
    if not (relative <= max(system.tol, 2 * found.relative_residual) and x @ Hx / 2 < system.rhs @ x):
        return None
    return replace(found, x=x, relative_residual=relative, image=Hx + system.matrix.shift * x)


def _refined(system, A, single, x, tol):
    """The solution of A x = b after the corrections that it takes, or None if they do not lead to it."""
    size = euclidean_norm(system.rhs)
    for solves in range(1, MAX_SOLVES + 1):
        image = A.product(x)
        residual = system.rhs - image
        left = euclidean_norm(residual)
        if left <= tol * size:
            return Solution(x, SolveStatus.SUCCESS, left / size, image, info={"solves": solves})
        if not left < math.inf or solves == MAX_SOLVES:
            return None
        # kept from the solve; for a shift that the solver chose itself it is computed again
        cholesky = single.factorisation("cholesky")
        if cholesky.status is not SolveStatus.SUCCESS:
            return None
        x = x + left * cholesky.solve((residual / left).astype(np.float32))


class SinglePrecisionCost(CostModel):
    """The cost of a solver whose matrix and factors are in single precision, with the corrections.

    Parameters
    ----------
    cost : FactorisationCost
        The cost of the same solver in double precision, `DirectCost` or `MoreSorensenCost`.
    """

    def __init__(self, cost):
        self.cost = cost

    def check(self):
        """Raise ValueError if a setting of the cost in double precision is out of range."""
        self.cost.check()

    def rejection_reason(self, facts, tol):
        """Return why the corrections would not converge, or None; the condition number must be known."""
        if facts.kappa is None:
            return "the condition number is not known"
        if solves_needed(facts, tol) > MAX_SOLVES:
            return f"single precision does not reach {tol:.2g} at a condition number of {facts.kappa:.2g}"
        return None

    def __call__(self, facts, tol):
        """Return the `CostEstimate` of one solve to the relative error `tol`."""
        rates = self.cost.rates or REFERENCE_RATES
        double = self.cost.seconds(in_single_precision(facts))
        single = double._replace(
            assembly=double.assembly / rates.single_speed,
            factorisation=double.factorisation / rates.single_speed,
            calls=double.calls + (PASS_CALLS if facts.single_flops else 1) * rates.call_seconds,
        )
        refinement = solves_needed(facts, tol) * rates.product_seconds(facts)
        return single.estimate("Carson and Higham (2018)", refinement_seconds=refinement)
