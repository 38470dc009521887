"""The choice of the backend that solves a system: the cheapest by predicted cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from qnewton_sk.machine import Rates
from qnewton_sk.quantum import EXACT_TOL
from qnewton_sk.systems import (
    CostEstimate,
    LinearSystem,
    Solution,
    SolveStatus,
    SystemFacts,
    failure,
    fault_of,
    is_real,
)

from .backends import (
    Backend,
    classical_backends,
    default_backends,
    quantum_backend,
    solves_per_exact_step,
    truncates,
)

MIN_PRODUCTS = 5
"""Minimum number of products of an iterative solve: fewer are hardly better than the gradient itself."""


@dataclass(frozen=True)
class Decision:
    """The decision of a scheduler on one system.

    Parameters
    ----------
    chosen : str or None
        Name of the cheapest backend; None if all rejected the system.
    estimates : mapping of str to CostEstimate
        Estimates of the backends that can take the system, by name.
    rejections : mapping of str to str
        Reasons of the backends that cannot, by name.
    break_even_gate_time : float or None
        Gate time in seconds at which the quantum solver would cost as much as the cheapest classical one;
        None if either is missing.
    classical_seconds, quantum_seconds : float or None
        Predicted cost of the cheapest backend of each kind.
    computed_by : str or None
        The classical backend that computes the solution of an ideally emulated quantum solver.
    max_products : int or None
        The number of products after which a direct solver would have cost less, if an iterative one was chosen.
    """

    chosen: str | None
    estimates: Mapping[str, CostEstimate] = field(default_factory=dict)
    rejections: Mapping[str, str] = field(default_factory=dict)
    break_even_gate_time: float | None = None
    classical_seconds: float | None = None
    quantum_seconds: float | None = None
    computed_by: str | None = None
    max_products: int | None = None


class Scheduler(BaseEstimator):
    """Gives each linear system to the backend with the lowest predicted cost.

    Parameters
    ----------
    backends : list of Backend, default=None
        The backends to choose from; by default every classical one and the quantum one.
    rates : {"reference"} or Rates, default="reference"
        Rates of the linear algebra that classical costs are predicted with; used if `backends` is None.
        "reference" is the record that ships with the package, so that the choice, and thus the fit, is the same on
        every machine. The result of `calibrate()` predicts the seconds of this machine (the paper's C); two
        processes measure different rates and may then choose different solvers.
    hardware : str or QuantumHardware, default="fault_tolerant"
        The quantum computer that is priced (see `HARDWARE`); used if `backends` is None.
    queries : str or callable, default="jennings2023"
        Model of the query count (see `query_count`); used if `backends` is None.
    assumptions : str, QuantumAssumptions or dict, default="paper"
        What a quantum solve is charged for (see `QuantumCost`); used if `backends` is None.
    tol : float, default=None
        Relative error allowed in every solution; by default the Newton loop asks for what each step needs.

    Examples
    --------
    >>> from qnewton_sk import Scheduler, SystemFacts
    >>> facts = SystemFacts(n=2000, kappa=100.0, row_nonzeros=50, positive_definite=True, norm=1.0, max_abs=0.5)
    >>> Scheduler(hardware="attosecond").choose(facts, tol=1e-6).chosen
    'qlsa'
    >>> Scheduler(hardware="ibm_sherbrooke").choose(facts, tol=1e-6).chosen in ("cholesky", "cg")
    True
    """

    def __init__(
        self,
        backends: Sequence[Backend] | None = None,
        *,
        rates: str | Rates = "reference",
        hardware: Any = "fault_tolerant",
        queries: Any = "jennings2023",
        assumptions: Any = "paper",
        tol: float | None = None,
    ) -> None:
        self.backends = backends
        self.rates = rates
        self.hardware = hardware
        self.queries = queries
        self.assumptions = assumptions
        self.tol = tol

    def available_backends(self) -> list[Backend]:
        """Return the list of `Backend` to choose from.

        Raises
        ------
        ValueError
            If `tol` is not None or in (0, 1), or `backends` is empty, holds something else or uses a name twice,
            or a backend is not valid (see `Backend`).
        """
        if self.tol is not None and not (is_real(self.tol) and 0 < self.tol < 1):
            raise ValueError(f"`tol` of a Scheduler must be None or a number in (0, 1); got {self.tol!r}")
        rates = self._given_rates()
        if self.backends is None:
            offered = default_backends(self.hardware, self.queries, self.assumptions, rates)
        else:
            offered = self._given()
        for backend in offered:
            backend.check()
        return offered

    def _given_rates(self):
        """The user's own `Rates`, or None for those that ship with the package."""
        if isinstance(self.rates, Rates):
            return self.rates
        if not isinstance(self.rates, str) or self.rates != "reference":
            raise ValueError(
                f'`rates` must be "reference" or a Rates object; got {self.rates!r}. '
                "Use Scheduler(rates=calibrate()) for the rates of this machine"
            )
        return None

    def _given(self):
        """The user's own backends."""
        offered = list(self.backends) if isinstance(self.backends, Iterable) else []
        if not offered or not all(isinstance(backend, Backend) for backend in offered):
            raise ValueError(f"`backends` must be None or a non-empty list of Backend; got {self.backends!r}")
        names = [backend.name for backend in offered]
        if len(set(names)) < len(names):
            raise ValueError(f"`backends` must have different names; got {names}")
        return offered

    def choose(self, facts: SystemFacts, tol: float, offered: Sequence[Backend] | None = None) -> "Decision":
        """Return the `Decision` for a system of which `facts` are known.

        Parameters
        ----------
        facts : SystemFacts
            What is known about the system.
        tol : float
            Relative error allowed in the solution.
        offered : list of Backend, default=None
            The result of `available_backends`, which saves building it at every step.
        """
        offered = self.available_backends() if offered is None else offered
        estimates, rejections = _priced(offered, facts, tol)
        able = [backend for backend in offered if backend.name in estimates]
        prices = {b.name: estimates[b.name].seconds * solves_per_exact_step(b, facts) for b in able}
        classical = _cheapest(able, prices, "classical")
        quantum = _cheapest(able, prices, "quantum")
        chosen = _cheapest(able, prices)
        break_even = None
        if quantum and classical:
            break_even = quantum.break_even_gate_time(facts, tol, estimates[classical.name].seconds)
        return Decision(
            chosen=chosen and chosen.name,
            estimates=estimates,
            rejections=rejections,
            break_even_gate_time=break_even,
            classical_seconds=classical and estimates[classical.name].seconds,
            quantum_seconds=quantum and estimates[quantum.name].seconds,
            computed_by=_exact_classical(offered, facts) if chosen and chosen.kind == "quantum" else None,
            max_products=_max_products(chosen, able, estimates, prices, facts),
        )

    def solve(
        self, system: LinearSystem, decision: "Decision", offered: Sequence[Backend] | None = None
    ) -> Solution:
        """Return the `Solution` of `system` by the backend that `decision` names.

        An emulated quantum solver gets its exact solution from the cheapest classical backend, so that
        the wall time is that of the best real solve.
        """
        by_name = {
            backend.name: backend for backend in (self.available_backends() if offered is None else offered)
        }
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the status tells
            return _solved_by(by_name, system, decision, self._given_rates())


def _priced(offered, facts, tol):
    """The estimate of every backend that can take the system, and the reason of every other one, by name."""
    estimates, rejections = {}, {}
    for backend in offered:
        reason = backend.rejection_reason(facts, tol)
        if reason is None:
            estimate = backend.estimate(facts, tol)
            if estimate.seconds >= 0:
                estimates[backend.name] = estimate
                continue
            reason = f"its predicted cost must be >= 0 s; got {estimate.seconds!r}"
        rejections[backend.name] = reason
    return estimates, rejections


def _solved_by(by_name, system, decision, rates):
    solution = _answer(by_name, system, decision, rates)
    if not isinstance(solution, Solution) or solution.x.shape != system.rhs.shape:
        raise ValueError(
            f"`solver` of the backend {decision.chosen!r} must return a Solution with x of shape "
            f"{system.rhs.shape}; got {solution!r}. Build it with qnewton_sk.solution_of(system, x)"
        )
    return solution


def _answer(by_name, system, decision, rates):
    with fault_of(f"`solver` of the backend {decision.chosen!r}"):
        return _solution(by_name, system, decision, rates)


def _solution(by_name, system, decision, rates):
    chosen = by_name[decision.chosen]
    if chosen.kind != "quantum":
        return chosen.solver.solve(replace(system, max_products=decision.max_products))
    # A quantum solver solves the damped system, so the classical one behind it must not cut the step instead.
    system = replace(system, facts=replace(system.facts, radius=None))
    if not chosen.solver.takes_reference:
        return chosen.solver.solve(system)
    if decision.computed_by is None:
        by_name = {backend.name: backend for backend in classical_backends(rates)}
    name = decision.computed_by or _exact_classical(by_name.values(), system.facts)
    if name is None:
        return failure(system, SolveStatus.FAILED, reason="no classical backend can compute the solution")
    return chosen.solver.solve(system, reference=by_name[name].solver)


def _cheapest(backends, prices, kind=None):
    """Return the backend of lowest price, among those of a kind if one is given; in a tie, the first one."""
    candidates = [backend for backend in backends if kind in (None, backend.kind)]
    return min(candidates, key=lambda backend: prices[backend.name], default=None)


def _max_products(chosen, able, estimates, prices, facts):
    """The number of products after which the cheapest direct solver would have cost less than an iterative one.

    Stopping there bounds the loss from a wrong forecast to a factor of two, whatever the matrix (the
    ski-rental argument; Karlin, Manasse, Rudolph, Sleator 1988).
    """
    if chosen is None or estimates[chosen.name].seconds_per_product is None:
        return None
    price_per_product = estimates[chosen.name].seconds_per_product * solves_per_exact_step(chosen, facts)
    real = [backend.name for backend in able if backend.kind == "classical"]
    direct = [prices[name] for name in real if estimates[name].seconds_per_product is None]
    if not price_per_product or not direct:
        return None
    return max(MIN_PRODUCTS, int(min(direct) / price_per_product))


def _exact_classical(backends, facts):
    """Name of the cheapest classical backend that solves the damped system exactly; None if there is none.

    Conjugate gradients stop at negative curvature without a solution. They are taken if the matrix is definite, or
    too large for its entries.
    """
    facts = replace(facts, radius=None)
    able = [b for b in backends if b.kind == "classical" and b.rejection_reason(facts, EXACT_TOL) is None]
    exact = [b for b in able if facts.positive_definite or not truncates(b.solver)]
    candidates = exact if exact and facts.n <= MAX_EMULATED_ORDER else able
    return min(candidates, key=lambda b: b.estimate(facts, EXACT_TOL).seconds).name if candidates else None


MAX_EMULATED_ORDER = 20_000
"""Maximum order of a matrix that is assembled to emulate a quantum solve: 3 GB."""


_PAPER_TOL = 1e-12
"""Error tolerance of arXiv:2405.00252, section IV-C."""


def resolve_scheduler(scheduler):
    """Return the `Scheduler` of a name, or the one given.

    "auto" offers every classical backend and the quantum one; "classical" only the classical ones;
    "quantum" only the quantum one; "paper" LU against the quantum one at attosecond gates, to 1e-12.

    Raises
    ------
    ValueError
        For anything else.
    """
    if isinstance(scheduler, Scheduler):
        return scheduler
    named = {
        "auto": lambda: Scheduler(),
        "classical": lambda: Scheduler(classical_backends()),
        "quantum": lambda: Scheduler([quantum_backend("attosecond")], tol=_PAPER_TOL),
        "paper": lambda: Scheduler([classical_backends()[0], quantum_backend("attosecond")], tol=_PAPER_TOL),
    }
    if not isinstance(scheduler, str) or scheduler not in named:
        raise ValueError(f"`scheduler` must be one of {sorted(named)} or a Scheduler; got {scheduler!r}")
    return named[scheduler]()
