"""The base class of every solver of one linear system: what it needs, how it bounds a step, what it returns."""

from abc import abstractmethod

from sklearn.base import BaseEstimator

from .linear_system import LinearSystem, SystemFacts
from .solution import Solution

NEEDS = ("entries", "products", "factor")
BOUNDS = ("shift", "radius")


class Solver(BaseEstimator):
    """A solver of symmetric linear systems; subclass it to add your own.

    A subclass defines `solve`, may define `rejection_reason`, and sets the class attributes that differ from
    the defaults. Like every estimator of scikit-learn, a solver holds settings only and remembers no run.

    Attributes
    ----------
    needs : {"entries", "products", "factor"}, default="entries"
        What the solver reads of a `SystemMatrix`: the entries, only products with vectors, or the low-rank factor. A
        net whose matrix does not fit into memory can be fitted if some solver needs less than entries.
    bounds_by : {"shift", "radius"}, default="shift"
        How the solver bounds a step when `SystemFacts.radius` is set. "shift": it solves the damped system
        and ignores the radius. "radius": it leaves the shift out and returns a step of about that length; its
        `Solution.shift` is then the multiple of the identity to which the step belongs.
    takes_reference : bool, default=False
        Whether `solve` has a parameter `reference`, the classical solver that computes what an emulated
        quantum computer returns.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import LinearSystem, Solver, SystemFacts, SystemMatrix, solution_of
    >>> class Diagonal(Solver):
    ...     def solve(self, system):
    ...         return solution_of(system, system.rhs / system.matrix.dense().diagonal())
    >>> matrix = SystemMatrix.from_entries(np.diag([2.0, 4.0]))
    >>> Diagonal().solve(LinearSystem(matrix, np.ones(2), 1e-6, SystemFacts(n=2))).x
    array([0.5 , 0.25])
    """

    needs = "entries"
    bounds_by = "shift"
    takes_reference = False

    def check(self) -> None:
        """Raise ValueError if a setting is out of range; called once before a fit begins."""
        return None

    def rejection_reason(self, facts: SystemFacts) -> str | None:
        """Return why this solver cannot take a system, or None if it can.

        Parameters
        ----------
        facts : SystemFacts
            What is known about the system.

        Returns
        -------
        str or None
        """
        return None

    @abstractmethod
    def solve(self, system: LinearSystem) -> Solution:
        """Return the `Solution` of a system; a failure is a status of the solution, never an exception.

        Parameters
        ----------
        system : LinearSystem
            Matrix, right-hand side, tolerance and facts.

        Returns
        -------
        Solution
            See `solution_of` and `failure`, which build one.
        """
        raise NotImplementedError(f"{type(self).__name__} must define solve(system)")
