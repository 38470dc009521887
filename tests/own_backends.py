"""A user's own solver and cost, with which the tests of backends and of the scheduler work."""

import numpy as np

from qnewton_sk import CostEstimate, CostModel, Solver, SystemFacts, solution_of

FACTS = SystemFacts(n=2000, kappa=100.0, row_nonzeros=50, positive_definite=True, norm=1.0, max_abs=0.5)


class MySolver(Solver):
    """A solver by numpy; a note tells its solutions from those of the package."""

    def __init__(self, reason=None):
        self.reason = reason

    def rejection_reason(self, facts):
        return self.reason

    def solve(self, system):
        return solution_of(system, np.linalg.solve(system.matrix.dense(), system.rhs), note="mine")


class MyCost(CostModel):
    """So many seconds, whatever the system."""

    def __init__(self, seconds=1.0, reason=None, product_seconds=None):
        self.seconds = seconds
        self.reason = reason
        self.product_seconds = product_seconds

    def __call__(self, facts, tol):
        return CostEstimate(self.seconds, source="a guess", seconds_per_product=self.product_seconds)

    def rejection_reason(self, facts, tol):
        return self.reason
