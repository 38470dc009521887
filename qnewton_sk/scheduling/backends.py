"""Backends: solvers under a name, each with the model of its cost, and the lists of those that ship."""

from numbers import Real
from typing import Any

from sklearn.base import BaseEstimator

from qnewton_sk.machine import Rates
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
from qnewton_sk.systems import BOUNDS, NEEDS, CostEstimate, Solver, SystemFacts, as_cost_model, fault_of, must

KINDS = ("classical", "quantum")


class Backend(BaseEstimator):
    """A solver under a name, with the model that predicts what it costs.

    Parameters
    ----------
    name : str
        The name that the records show.
    solver : Solver
        An instance of a subclass of `Solver`.
    cost : CostModel or callable
        An instance of a subclass of `CostModel`, or a plain function ``cost(facts, tol) -> CostEstimate``.
    kind : {"classical", "quantum"}, default="classical"
        The column of the records that shows its cost.

    Examples
    --------
    >>> from qnewton_sk import Backend
    >>> from qnewton_sk.solvers.dense import LU, DirectCost
    >>> Backend("lu", LU(), DirectCost("lu")).kind
    'classical'
    """

    def __init__(self, name: str, solver: Solver, cost: Any, kind: str = "classical") -> None:
        self.name = name
        self.solver = solver
        self.cost = cost
        self.kind = kind

    def check(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            If a parameter is not valid.
        """
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"`name` of a Backend must be a non-empty str; got {self.name!r}")
        whose = f"of the backend {self.name!r}"
        if self.kind not in KINDS:
            raise ValueError(f"`kind` {whose} must be one of {KINDS}; got {self.kind!r}")
        if not isinstance(self.solver, Solver):
            raise ValueError(
                f"`solver` {whose} must be an instance of a subclass of qnewton_sk.Solver, which defines "
                f"solve(system) -> Solution; got {self.solver!r}"
            )
        if self.solver.needs not in NEEDS or self.solver.bounds_by not in BOUNDS:
            raise ValueError(
                f"`solver` {whose} must have `needs` among {NEEDS} and `bounds_by` among {BOUNDS}; "
                f"got {self.solver.needs!r} and {self.solver.bounds_by!r}"
            )
        self.solver.check()
        try:
            cost = as_cost_model(self.cost)
        except ValueError as error:
            raise ValueError(str(error).replace("`cost`", f"`cost` {whose}", 1)) from None
        cost.check()

    def rejection_reason(self, facts: SystemFacts, tol: float) -> str | None:
        """Return why this backend cannot take the system, or None."""
        with fault_of(f"`solver` of the backend {self.name!r}"):
            reason = self.solver.rejection_reason(facts)
        with fault_of(f"`cost` of the backend {self.name!r}"):
            return reason or as_cost_model(self.cost).rejection_reason(facts, tol)

    def estimate(self, facts: SystemFacts, tol: float) -> CostEstimate:
        """Return the `CostEstimate` of one solve to the relative error `tol`.

        Raises
        ------
        ValueError
            If the cost returns something else.
        """
        with fault_of(f"`cost` of the backend {self.name!r}"):
            estimate = as_cost_model(self.cost)(facts, tol)
        if not (isinstance(estimate, CostEstimate) and isinstance(estimate.seconds, Real)):
            expected = "return a qnewton_sk.CostEstimate, whose `seconds` is a number"
            raise must(f"cost of the backend {self.name!r}", expected, estimate)
        return estimate

    def break_even_gate_time(self, facts: SystemFacts, tol: float, classical_seconds: float) -> float | None:
        """Return the gate time in seconds at which a solve costs `classical_seconds`, or None."""
        with fault_of(f"`cost` of the backend {self.name!r}"):
            return as_cost_model(self.cost).break_even_gate_time(facts, tol, classical_seconds)


def classical_backends(rates: Rates | None = None) -> list[Backend]:
    """Return the real solvers, each with its cost model.

    Parameters
    ----------
    rates : Rates, default=None
        Rates of the linear algebra that the costs are predicted with; `REFERENCE_RATES` by default.
    """
    single = [SinglePrecisionCost(cost) for cost in (DirectCost("cholesky", rates), MoreSorensenCost(rates))]
    return [
        Backend("lu", LU(), DirectCost("lu", rates)),
        Backend("cholesky", Cholesky(), DirectCost("cholesky", rates)),
        Backend("ldl", LDL(), DirectCost("ldl", rates)),
        Backend("more_sorensen", MoreSorensen(), MoreSorensenCost(rates)),
        Backend("cholesky_single", SinglePrecision(Cholesky()), single[0]),
        Backend("more_sorensen_single", SinglePrecision(MoreSorensen()), single[1]),
        Backend("woodbury", Woodbury(), WoodburyCost(rates)),
        Backend("cg", CG(), CGCost(rates)),
        Backend("sparse_lu", SparseLU(), SparseLUCost(rates)),
        Backend("sparse_cg", SparseCG(), SparseCGCost(rates)),
    ]


def quantum_backend(
    hardware: Any = "fault_tolerant",
    queries: Any = "jennings2023",
    assumptions: Any = "paper",
    **emulator: Any,
) -> Backend:
    """Return the emulated quantum linear solver with its cost model; `emulator` are settings of `QLSA`."""
    cost = QuantumCost(queries=queries, hardware=hardware, assumptions=assumptions)
    return Backend("qlsa", QLSA(queries=queries, **emulator), cost, kind="quantum")


def default_backends(
    hardware: Any = "fault_tolerant",
    queries: Any = "jennings2023",
    assumptions: Any = "paper",
    rates: Rates | None = None,
) -> list[Backend]:
    """Return every classical backend and the emulated quantum one.

    Parameters
    ----------
    hardware, queries, assumptions
        Settings of the `QuantumCost`.
    rates : Rates, default=None
        Rates of the linear algebra that classical costs are predicted with; `REFERENCE_RATES` by default.

    Examples
    --------
    >>> from qnewton_sk.scheduling import default_backends
    >>> [backend.name for backend in default_backends()][-1]
    'qlsa'
    """
    return [*classical_backends(rates), quantum_backend(hardware, queries, assumptions)]


TRUNCATED_SOLVES, TRUNCATED_DEFINITE_SOLVES = 3.0, 3.5
"""Truncated solves that move a fit as far as one exact one, for a matrix that may be indefinite and for one known to be
definite. With the Hessian, fits of two-spirals and parity-8 took three times the steps; with Gauss-Newton, those of
friedman1, sin(4x)cos(3y), sinc and diabetes two to three times, and exact solves are corrected on top."""

DAMPED_SOLVES = 4.0
"""The same for solves of the damped system if it is not known to be definite: a solution of an indefinite system is
rejected, and the system is solved again with more damping."""


def solves_per_exact_step(backend: Backend, facts: SystemFacts) -> float:
    """Return how many solves by `backend` move a fit as far as one exact trust-region step.

    Parameters
    ----------
    backend : Backend
        Steps bounded by the radius are exact if the solver reads entries, and truncated if it only takes products;
        all other steps are damped.
    facts : SystemFacts
        Without a radius every solve is exact.

    Examples
    --------
    >>> from qnewton_sk.scheduling.backends import classical_backends, solves_per_exact_step
    >>> from qnewton_sk.systems.linear_system import SystemFacts
    >>> facts = SystemFacts(n=100, radius=1.0)
    >>> {backend.name: solves_per_exact_step(backend, facts) for backend in classical_backends()}["cg"]
    3.0
    """
    if facts.radius is None:
        return 1.0
    if backend.solver.bounds_by == "shift":
        return 1.0 if facts.positive_definite else DAMPED_SOLVES
    if truncates(backend.solver):
        return TRUNCATED_DEFINITE_SOLVES if facts.positive_definite else TRUNCATED_SOLVES
    return 1.0


def truncates(solver: Any) -> bool:
    """Return whether the solver cuts its path at the radius rather than searching for the step of that length."""
    return solver.bounds_by == "radius" and solver.needs == "products"
