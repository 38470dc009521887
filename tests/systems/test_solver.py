"""The base class of solvers: its defaults, and what a subclass must define."""

import numpy as np
import pytest
from sklearn.base import clone

from qnewton_sk import (
    LinearSystem,
    Solver,
    SystemFacts,
    SystemMatrix,
    solution_of,
)

FACTS = SystemFacts(n=2)


def system(scale=1.0, tol=1e-6, shift=0.0):
    matrix = SystemMatrix.from_entries(np.diag([2.0, 4.0]), shift=shift)
    return LinearSystem(matrix, scale * np.array([2.0, 4.0]), tol, FACTS)


class Halves(Solver):
    def __init__(self, share=0.5):
        self.share = share

    def solve(self, system):
        return solution_of(system, self.share * system.rhs)


def test_a_solver_has_defaults_and_is_a_part():
    solver = clone(Halves(0.25))
    assert (solver.needs, solver.bounds_by, solver.takes_reference) == ("entries", "shift", False)
    assert solver.rejection_reason(FACTS) is None and solver.get_params() == {"share": 0.25}


def test_what_a_subclass_leaves_out_is_named():
    with pytest.raises(NotImplementedError, match=r"Solver must define solve\(system\)"):
        Solver().solve(system())
