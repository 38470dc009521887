"""Cost of a quantum solve: the resources that it needs, multiplied by the operation times of the hardware."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, nan
from numbers import Real
from typing import Any

import numpy as np

from qnewton_sk.systems import CostEstimate, CostModel, SystemFacts

from .assumptions import LOADING, RHS_LOADING, QuantumAssumptions, refinement_rounds, resolve_assumptions
from .block_encoding import block_encoding_factor, logical_qubits
from .hardware import QuantumHardware, check_seconds, hardware_named
from .query_counts import (
    Formula,
    QueryModel,
    argument_rejection_reason,
    query_model,
    success_probability,
)
from .readout import READOUTS, norm_estimation_runs


@dataclass(frozen=True)
class QuantumResources:
    """Resources that one solve needs on any hardware; counts beyond the range of floats are inf.

    Parameters
    ----------
    kappa : float
        Condition number.
    alpha : float
        Normalisation factor of the block encoding.
    solve_tol : float
        Relative error of each solve.
    expected_queries : float
        Queries to the block encoding per copy of the solution, failed runs included.
    success_probability : float
        Probability that one run succeeds.
    loading_toffolis_per_query, rhs_loading_toffolis_per_query : float
        Toffoli gates that load the matrix and the right-hand side.
    readout_copies : float
        Copies of the solution that one readout needs; 1 if nothing is read.
    norm_estimation_runs : float
        Runs, successful or not, that one estimate of the norm needs.
    refinement_rounds : int
        Solves that are combined by iterative refinement, each with its own readout and norm estimate.
    measurements : float
        Number of measurements of all qubits, summed over the rounds.
    logical_qubits : int
        Logical qubits of one run.
    """

    kappa: float
    alpha: float
    solve_tol: float
    expected_queries: float
    success_probability: float
    loading_toffolis_per_query: float
    rhs_loading_toffolis_per_query: float
    readout_copies: float
    norm_estimation_runs: float
    refinement_rounds: int
    measurements: float
    logical_qubits: int

    @property
    def total_queries(self) -> float:
        """Queries of all rounds; a copy is repeated until it succeeds, a run of the norm estimation is not."""
        copies = self.readout_copies + self.norm_estimation_runs * self.success_probability
        return self.refinement_rounds * copies * self.expected_queries

    def query_seconds(self, hardware: QuantumHardware) -> float:
        """Return the time of one query in seconds: one gate plus the Toffoli gates that load the data."""
        toffolis = self.loading_toffolis_per_query + self.rhs_loading_toffolis_per_query
        return hardware.gate_seconds + toffolis * hardware.effective_toffoli_seconds


class QuantumCost(CostModel):
    """Predicted time of one solve by a quantum linear solver.

    Parameters
    ----------
    queries : str or callable, default="jennings2023"
        Query count: a name from `QUERY_MODELS` or ``queries(kappa, tol, alpha) -> float``.
    hardware : str or QuantumHardware, default="fault_tolerant"
        A name from `HARDWARE`, or your own `QuantumHardware`.
    assumptions : {"paper", "end_to_end"}, QuantumAssumptions or dict, default="paper"
        What is charged. "paper": one gate per query and nothing else. "end_to_end": also data loading,
        readout and norm estimation. `QuantumAssumptions` sets each of these, and a grid search reaches it as
        ``assumptions__readout``. A dict holds settings that replace those of the preset under its key
        "base" ("paper" by default).

    Notes
    -----
    Solver, readout and norm estimation may each have the error `tol`; if that exceeds the maximum of the
    model, the maximum is priced. Norm estimation is priced at the proven success probability of the solver,
    which gives the O(kappa / delta) of variable-time methods (Chakraborty, Gilyen, Jeffery 2019,
    arXiv:1804.01973) and favours the quantum side. Measurements of failed runs and of the norm estimation are
    not included, since they are far shorter than the runs. Error correction enters only through the operation
    times of the hardware.

    References
    ----------
    R_q = gate time x queries: arXiv:2405.00252, section IV-C. Everything else: see `QuantumAssumptions`.

    Examples
    --------
    >>> from qnewton_sk import QuantumCost, SystemFacts
    >>> facts = SystemFacts(n=10000, kappa=100.0, row_nonzeros=10)
    >>> paper = QuantumCost(hardware="attosecond")
    >>> f"{paper(facts, 1e-12).seconds:.2g} s"
    '5.7e-13 s'
    >>> honest = QuantumCost(hardware="attosecond", assumptions="end_to_end")
    >>> f"{honest(facts, 1e-2).seconds:.0f} s"
    '180 s'
    >>> f"{honest.resources(facts, 1e-2).readout_copies:.0e}"
    '1e+08'
    """

    def __init__(
        self,
        queries: str | Formula | QueryModel = "jennings2023",
        hardware: str | QuantumHardware = "fault_tolerant",
        assumptions: str | Mapping[str, Any] | QuantumAssumptions = "paper",
    ) -> None:
        self.queries = queries
        self.hardware = hardware
        self.assumptions = assumptions

    def __call__(self, facts: SystemFacts, tol: float) -> CostEstimate:
        """Return the `CostEstimate` of one solve of `facts` to the relative error `tol`.

        Its `seconds` are inf if they are beyond the range of floats.

        Raises
        ------
        ValueError
            With the reason of `rejection_reason` if the solve cannot be priced, or if a setting is unknown.
        """
        resources, hardware = self.resources(facts, tol), hardware_named(self.hardware)
        query_seconds = resources.query_seconds(hardware)
        solve_seconds = resources.total_queries * query_seconds
        measurement_seconds = resources.measurements * hardware.effective_readout_seconds
        terms = {
            **vars(resources),
            "gate_seconds": hardware.gate_seconds,
            "gates_per_query": query_seconds / hardware.gate_seconds,
            "total_queries": resources.total_queries,
            "solve_seconds": solve_seconds,
            "measurement_seconds": measurement_seconds,
            "seconds": solve_seconds + measurement_seconds,
        }
        source = f"{query_model(self.queries).source}; {hardware.name}; {self._assumptions_label()}"
        return CostEstimate(terms["seconds"], terms, source)

    def resources(self, facts: SystemFacts, tol: float) -> QuantumResources:
        """Return the `QuantumResources` of one solve of `facts` to the relative error `tol`.

        Raises
        ------
        ValueError
            With the reason of `rejection_reason` if the solve cannot be priced, or if a setting is unknown.
        """
        reason = self.rejection_reason(facts, tol)
        if reason or facts.kappa is None:
            raise ValueError(reason)
        model, charged = query_model(self.queries, "queries"), resolve_assumptions(self.assumptions)
        solve_tol, alpha = _solve_tol(charged, model, tol), _alpha(charged, facts)
        n, d = facts.n, facts.n if facts.row_nonzeros is None else facts.row_nonzeros
        delta, probability = charged.readout_tol or solve_tol, success_probability(solve_tol)
        copies, rounds = READOUTS[charged.readout](n, delta), refinement_rounds(tol, solve_tol)
        return QuantumResources(
            kappa=float(facts.kappa),
            alpha=alpha,
            solve_tol=solve_tol,
            expected_queries=model(facts.kappa, solve_tol, alpha),
            success_probability=probability,
            loading_toffolis_per_query=LOADING[charged.loading](n, d),
            rhs_loading_toffolis_per_query=RHS_LOADING[charged.rhs_loading](n),
            readout_copies=copies,
            norm_estimation_runs=0.0 if charged.norm == "none" else norm_estimation_runs(probability, delta),
            refinement_rounds=rounds,
            measurements=0.0 if charged.readout == "none" else rounds * copies,
            logical_qubits=logical_qubits(n),
        )

    def check(self) -> None:
        """Raise ValueError if a setting is unknown or out of range, before anything is priced."""
        query_model(self.queries, "queries")
        hardware_named(self.hardware)
        resolve_assumptions(self.assumptions)

    def rejection_reason(self, facts: SystemFacts, tol: float) -> str | None:
        """Return why a solve cannot be priced, or None.

        Raises
        ------
        ValueError
            If a setting of this part is unknown or out of range.
        """
        if facts.kappa is None:
            return "the condition number is not known; set `condition_number` to an estimator"
        if not (isinstance(tol, Real) and 0 < tol < 1):
            return f"`tol` must be in (0, 1); got {tol!r}"
        model, charged = query_model(self.queries, "queries"), resolve_assumptions(self.assumptions)
        solve_tol, alpha = _solve_tol(charged, model, tol), _alpha(charged, facts)
        return argument_rejection_reason(facts.kappa, solve_tol, alpha) or model.rejection_reason(
            facts.kappa, solve_tol, alpha
        )

    def break_even_gate_time(self, facts: SystemFacts, tol: float, classical_seconds: float) -> float:
        """Return the gate time in seconds at which this solve would take `classical_seconds`.

        All operation times of the hardware are scaled by the same factor as the gate time.

        Parameters
        ----------
        facts : SystemFacts
            Facts about the system.
        tol : float
            Relative error of the solution.
        classical_seconds : float
            Time of the classical solve to compare with.

        Returns
        -------
        float
            0 if the time of the quantum solve is beyond the range of floats.

        Examples
        --------
        >>> from qnewton_sk import QuantumCost, SystemFacts
        >>> facts = SystemFacts(n=10000, kappa=100.0, row_nonzeros=10)
        >>> lu_seconds = 2 / 3 * 1e12 / 1e13
        >>> f"{QuantumCost().break_even_gate_time(facts, 1e-2, lu_seconds):.1e}"
        '1.3e-07'
        """
        gate_times = self(facts, tol).seconds / hardware_named(self.hardware).gate_seconds
        return float(classical_seconds) / gate_times if gate_times < inf else 0.0

    def _assumptions_label(self) -> str:
        named = isinstance(self.assumptions, str)
        return f"assumptions {self.assumptions!r}" if named else "custom assumptions"


def _alpha(assumptions: QuantumAssumptions, facts: SystemFacts) -> float:
    return block_encoding_factor(facts) if assumptions.alpha == "sparse" else float(assumptions.alpha)


def _solve_tol(assumptions: QuantumAssumptions, model: QueryModel, tol: float) -> float:
    # a solve at the maximum error of the model meets every larger tolerance too
    return min(max(float(tol), assumptions.refinement_tol or 0.0), model.tol_max)


def quantum_cost_table(
    cost: QuantumCost,
    *,
    n: int | Sequence[int],
    kappa: float | Sequence[float],
    tol: float | Sequence[float] = 1e-2,
    row_nonzeros: int | Sequence[int] | None = None,
    gate_seconds: float | Sequence[float] | None = None,
    classical_cost: Callable[[SystemFacts, float], CostEstimate] | None = None,
) -> dict[str, np.ndarray]:
    """Tabulate a quantum cost over a grid; every argument except the costs may be a number or a sequence.

    Parameters
    ----------
    cost : QuantumCost
        The cost to tabulate.
    n : int or sequence of int
        Numbers of unknowns; no matrix of that size is built.
    kappa : float or sequence of float
        Condition numbers.
    tol : float or sequence of float, default=1e-2
        Relative errors of the solution.
    row_nonzeros : int or sequence of int, default=None
        Nonzeros per row, capped at n; by default n.
    gate_seconds : float or sequence of float, default=None
        Gate times in seconds; the other times scale with them. By default the gate time of the hardware.
    classical_cost : callable, default=None
        ``classical_cost(facts, tol) -> CostEstimate``, for comparison.

    Returns
    -------
    dict of str to ndarray
        Columns of equal length, one row per point of the grid: "n", "kappa", "row_nonzeros", "tol",
        "gate_seconds", "queries" (per copy), "logical_qubits", "quantum_seconds" (nan if rejected),
        "rejection_reason" ("" if there is none), and with a classical cost "classical_seconds" and
        "break_even_gate_seconds".

    Raises
    ------
    ValueError
        If an axis of the grid is empty or a gate time is not a positive, finite number.

    Examples
    --------
    >>> from qnewton_sk.quantum import QuantumCost, quantum_cost_table
    >>> table = quantum_cost_table(QuantumCost(), n=[10**3, 10**9], kappa=[10.0, 1e3], row_nonzeros=10)
    >>> table["n"].tolist()
    [1000, 1000, 1000000000, 1000000000]
    """
    cost.check()
    axes: tuple[Any, ...] = (n, kappa, row_nonzeros, tol, gate_seconds)
    grid = product(*(np.atleast_1d(axis).tolist() for axis in axes))
    rows = [_row(cost, classical_cost, *point) for point in grid]
    if not rows:
        raise ValueError(
            "`n`, `kappa`, `tol`, `row_nonzeros` and `gate_seconds` must hold at least one value each"
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _row(
    cost: QuantumCost,
    classical_cost: Callable[[SystemFacts, float], CostEstimate] | None,
    n: int,
    kappa: float,
    row_nonzeros: int | None,
    tol: float,
    gate_seconds: float | None,
) -> dict[str, Any]:
    facts = SystemFacts(n=n, kappa=kappa, row_nonzeros=n if row_nonzeros is None else min(row_nonzeros, n))
    own_gate_seconds = hardware_named(cost.hardware).gate_seconds
    gate = own_gate_seconds if gate_seconds is None else gate_seconds
    check_seconds("gate_seconds", gate)
    reason = cost.rejection_reason(facts, tol)
    row = {
        "n": n,
        "kappa": kappa,
        "row_nonzeros": facts.row_nonzeros,
        "tol": tol,
        "gate_seconds": gate,
        "queries": nan if reason else cost.resources(facts, tol).expected_queries,
        "logical_qubits": logical_qubits(n),
        "quantum_seconds": nan if reason else cost(facts, tol).seconds * (gate / own_gate_seconds),
        "rejection_reason": reason or "",
    }
    if classical_cost is not None:
        classical_seconds = classical_cost(facts, tol).seconds
        row["classical_seconds"] = classical_seconds
        row["break_even_gate_seconds"] = (
            nan if reason else cost.break_even_gate_time(facts, tol, classical_seconds)
        )
    return row
