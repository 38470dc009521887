"""Backends: solvers under a name, each with the model of its cost."""

from sklearn.base import BaseEstimator

from qnewton_sk.quantum import QLSA, QuantumCost
from qnewton_sk.solvers import (
    CG,
    LDL,
    LU,
    CGCost,
    Cholesky,
    DirectCost,
    MoreSorensen,
    MoreSorensenCost,
    SinglePrecision,
    SinglePrecisionCost,
    SparseCG,
    SparseCGCost,
    SparseLU,
    SparseLUCost,
    Woodbury,
    WoodburyCost,
)


class Backend(BaseEstimator):
    """A solver under a name, with the model that predicts what it costs.

    Parameters
    ----------
    name : str
        Shown in the records.
    solver : object
        ``solve(system) -> Solution`` and ``rejection_reason(facts) -> str or None``.
    cost : callable
        ``cost(facts, tol) -> CostEstimate``; it may have ``rejection_reason(facts, tol) -> str or None`` too.
    kind : {"classical", "quantum"}, default="classical"
        In which column of the records its cost goes.

    Examples
    --------
    >>> from qnewton_sk import Backend
    >>> from qnewton_sk.solvers.dense import DirectCost
    >>> from qnewton_sk.solvers.dense import LU
    >>> Backend("lu", LU(), DirectCost("lu")).kind
    'classical'
    """

    def __init__(self, name, solver, cost, kind="classical"):
        self.name = name
        self.solver = solver
        self.cost = cost
        self.kind = kind

    def rejection_reason(self, facts, tol):
        """Return why this backend cannot take the system, or None."""
        reason = self.solver.rejection_reason(facts)
        if reason is None and hasattr(self.cost, "rejection_reason"):
            reason = self.cost.rejection_reason(facts, tol)
        return reason


def classical_backends():
    """Return the real solvers, each with its cost model."""
    return [
        Backend("lu", LU(), DirectCost("lu")),
        Backend("cholesky", Cholesky(), DirectCost("cholesky")),
        Backend("ldl", LDL(), DirectCost("ldl")),
        Backend("more_sorensen", MoreSorensen(), MoreSorensenCost()),
        Backend("cholesky_single", SinglePrecision(Cholesky()), SinglePrecisionCost(DirectCost("cholesky"))),
        Backend(
            "more_sorensen_single", SinglePrecision(MoreSorensen()), SinglePrecisionCost(MoreSorensenCost())
        ),
        Backend("woodbury", Woodbury(), WoodburyCost()),
        Backend("cg", CG(), CGCost()),
        Backend("sparse_lu", SparseLU(), SparseLUCost()),
        Backend("sparse_cg", SparseCG(), SparseCGCost()),
    ]


def quantum_backend(hardware="fault_tolerant", queries="jennings2023", assumptions="paper", **emulator):
    """Return the emulated quantum linear solver with its cost model; `emulator` are settings of `QLSA`."""
    cost = QuantumCost(queries=queries, hardware=hardware, assumptions=assumptions)
    return Backend("qlsa", QLSA(queries=queries, **emulator), cost, kind="quantum")


def default_backends(hardware="fault_tolerant", queries="jennings2023", assumptions="paper"):
    """Return every classical backend and the emulated quantum one.

    Examples
    --------
    >>> from qnewton_sk.scheduling.backends import default_backends
    >>> [backend.name for backend in default_backends()][-1]
    'qlsa'
    """
    return [*classical_backends(), quantum_backend(hardware, queries, assumptions)]
