"""Cost of a quantum solve: expected queries times what each of them is charged."""

from itertools import product
from math import nan

import numpy as np

from qnewton_sk.systems import CostEstimate, CostModel, SystemFacts

from .assumptions import ASSUMPTIONS, LOADING, RHS_LOADING, refinement_rounds, resolve_assumptions
from .block_encoding import block_encoding_factor, logical_qubits
from .hardware import HARDWARE, QuantumHardware, hardware_named
from .query_counts import argument_fault, query_model, success_probability
from .readout import READOUTS, norm_estimation_runs

__all__ = [
    "ASSUMPTIONS",
    "HARDWARE",
    "QuantumCost",
    "QuantumHardware",
    "block_encoding_factor",
    "logical_qubits",
    "quantum_cost_table",
]


class QuantumCost(CostModel):
    """Predicted time of one solve by a quantum linear solver.

    Parameters
    ----------
    queries : str or callable, default="jennings2023"
        Query count: a name from `QUERY_MODELS` or ``queries(kappa, tol, alpha) -> float``.
    hardware : str or QuantumHardware, default="fault_tolerant"
        A name from `HARDWARE`, or a machine of your own.
    assumptions : {"paper", "end_to_end"} or dict, default="paper"
        What is charged. "paper": one gate a query and nothing else. "end_to_end": data loading, readout and
        norm estimation too. A dict sets single switches over those of its entry "base" ("paper" by
        default):

        - "alpha": "sparse" for d max|A_ij| / ||A||_2, or a number;
        - "loading": "none", "qrom" (the nonzeros) or "qrom_dense" (all n^2 entries);
        - "rhs_loading": "none" or "qrom";
        - "readout": "none", "sampling", "proven", "coherent" or "swap_test" (see `READOUTS`);
        - "readout_tol": l2 error of the readout of the normalised solution; None for `tol`;
        - "norm": "none" or "amplitude_estimation", to the same error as the readout;
        - "refinement_tol": None, or the error of each solve where several, ceil(ln tol / ln
          refinement_tol), are combined into one by iterative refinement.

    Notes
    -----
    Solver, readout and norm estimation are allowed the error `tol` each; one that is larger than the model
    allows is priced as the largest that it does. Norm estimation is charged at the solver's proven success
    probability: the O(kappa / delta) of variable-time methods (Chakraborty, Gilyen, Jeffery 2019,
    arXiv:1804.01973), a favour to the quantum side. Error correction shows only in the times of the
    hardware.

    References
    ----------
    R_q = gate time x queries: arXiv:2405.00252, section IV-C. Everything else: the sources of each switch.

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
    >>> f"{honest(facts, 1e-2).terms['readout_copies']:.0e}"
    '1e+08'
    """

    def __init__(self, queries="jennings2023", hardware="fault_tolerant", assumptions="paper"):
        self.queries = queries
        self.hardware = hardware
        self.assumptions = assumptions

    def __call__(self, facts, tol):
        """Return the `CostEstimate` of one solve of `facts` to the relative error `tol`.

        Raises
        ------
        ValueError
            With the reason of `rejection_reason` where the solve cannot be priced, or if a setting is unknown.
        """
        reason = self.rejection_reason(facts, tol)
        if reason:
            raise ValueError(reason)
        return self._estimate(facts, tol)

    def check(self):
        """Raise ValueError if a setting is unknown, before anything is priced."""
        query_model(self.queries)
        hardware_named(self.hardware)
        self._switches()

    def rejection_reason(self, facts, tol):
        """Return why a solve cannot be priced, or None.

        Raises
        ------
        ValueError
            If a setting of this part is unknown.
        """
        if facts.kappa is None:
            return "the condition number is not known; set `condition_number` to an estimator"
        if not 0 < tol < 1:
            return f"`tol` must be in (0, 1); got {tol!r}"
        model, switches = query_model(self.queries), self._switches()
        solve_tol, alpha = _solve_tol(switches, model, tol), _alpha(switches, facts)
        return argument_fault(facts.kappa, solve_tol, alpha) or model.rejection_reason(
            facts.kappa, solve_tol, alpha
        )

    def break_even_gate_time(self, facts, tol, classical_seconds):
        """Return the seconds a gate at which this solve would take `classical_seconds`.

        The times of the hardware keep their proportions: with its gates all its operations become faster.

        Parameters
        ----------
        facts : SystemFacts
        tol : float
        classical_seconds : float
            Time of the classical solve to compare with.

        Returns
        -------
        float

        Examples
        --------
        >>> from qnewton_sk import QuantumCost, SystemFacts
        >>> facts = SystemFacts(n=10000, kappa=100.0, row_nonzeros=10)
        >>> lu_seconds = 2 / 3 * 1e12 / 1e13
        >>> f"{QuantumCost().break_even_gate_time(facts, 1e-2, lu_seconds):.1e}"
        '1.3e-07'
        """
        return classical_seconds * hardware_named(self.hardware).gate_seconds / self(facts, tol).seconds

    def _switches(self):
        return resolve_assumptions(self.assumptions)

    def _estimate(self, facts, tol):
        machine, switches, model = hardware_named(self.hardware), self._switches(), query_model(self.queries)
        n, d, alpha, solve_tol = (
            facts.n,
            facts.row_nonzeros,
            _alpha(switches, facts),
            _solve_tol(switches, model, tol),
        )
        queries = model(facts.kappa, solve_tol, alpha)
        loading = LOADING[switches["loading"]](n, d)
        rhs_loading = RHS_LOADING[switches["rhs_loading"]](n)
        query_seconds = machine.gate_seconds + (loading + rhs_loading) * machine.toffoli
        copies, norm_runs = _copies(switches, n, solve_tol), _norm_runs(switches, solve_tol)
        rounds = refinement_rounds(tol, solve_tol)
        measured = 0.0 if switches["readout"] == "none" else copies
        solve_seconds = rounds * (copies + norm_runs) * queries * query_seconds
        measurement_seconds = rounds * measured * machine.readout
        terms = {
            "kappa": facts.kappa,
            "alpha": alpha,
            "solve_tol": solve_tol,
            "expected_queries": queries,
            "gate_seconds": machine.gate_seconds,
            "loading_toffolis_per_query": loading,
            "rhs_loading_toffolis_per_query": rhs_loading,
            "gates_per_query": query_seconds / machine.gate_seconds,
            "readout_copies": copies,
            "norm_estimation_runs": norm_runs,
            "refinement_rounds": rounds,
            "logical_qubits": logical_qubits(n),
            "solve_seconds": solve_seconds,
            "measurement_seconds": measurement_seconds,
            "seconds": solve_seconds + measurement_seconds,
        }
        return CostEstimate(terms["seconds"], terms, f"{model.source}; {machine.name}; {self._label()}")

    def _label(self):
        return self.assumptions if isinstance(self.assumptions, str) else "own assumptions"


def _alpha(switches, facts):
    return block_encoding_factor(facts) if switches["alpha"] == "sparse" else float(switches["alpha"])


def _solve_tol(switches, model, tol):
    # a solve that the model allows meets every larger error too
    return min(max(tol, switches["refinement_tol"] or 0.0), model.tol_max)


def _copies(switches, n, tol):
    return READOUTS[switches["readout"]](n, switches["readout_tol"] or tol)


def _norm_runs(switches, tol):
    if switches["norm"] == "none":
        return 0.0
    return float(norm_estimation_runs(success_probability(tol), switches["readout_tol"] or tol))


def quantum_cost_table(
    cost, *, n, kappa, tol=1e-2, row_nonzeros=None, gate_seconds=None, classical_cost=None
):
    """Tabulate a quantum cost over a grid; every argument but the costs may be a number or a sequence.

    Parameters
    ----------
    cost : QuantumCost
        What is tabulated.
    n : int or sequence of int
        Numbers of unknowns; nothing of that size is ever built.
    kappa : float or sequence of float
        Condition numbers.
    tol : float or sequence of float, default=1e-2
        Relative errors of the solution.
    row_nonzeros : int or sequence of int, default=None
        Nonzeros in a row, n where they exceed it; by default n.
    gate_seconds : float or sequence of float, default=None
        Times of a gate, other times of the hardware in proportion; by default the hardware's own.
    classical_cost : callable, default=None
        ``classical_cost(facts, tol) -> CostEstimate``, to compare with.

    Returns
    -------
    dict of str to ndarray
        Columns of equal length, one row a point of the grid: "n", "kappa", "row_nonzeros", "tol",
        "gate_seconds", "queries", "logical_qubits", "quantum_seconds" (nan where "rejection_reason" is not empty),
        "rejection_reason", and with a classical cost "classical_seconds" and "break_even_gate_seconds".

    Examples
    --------
    >>> from qnewton_sk.quantum.cost import QuantumCost, quantum_cost_table
    >>> table = quantum_cost_table(QuantumCost(), n=[10**3, 10**9], kappa=[10.0, 1e3], row_nonzeros=10)
    >>> table["n"].tolist()
    [1000, 1000, 1000000000, 1000000000]
    """
    own = hardware_named(cost.hardware).gate_seconds
    grid = product(*(np.atleast_1d(axis).tolist() for axis in (n, kappa, row_nonzeros, tol, gate_seconds)))
    rows = [_row(cost, own, classical_cost, *point) for point in grid]
    if not rows:
        raise ValueError(
            "`n`, `kappa`, `tol`, `row_nonzeros` and `gate_seconds` must hold at least one value each"
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _row(cost, own_gate_seconds, classical_cost, n, kappa, row_nonzeros, tol, gate_seconds):
    facts = SystemFacts(n=n, kappa=kappa, row_nonzeros=n if row_nonzeros is None else min(row_nonzeros, n))
    gate = own_gate_seconds if gate_seconds is None else gate_seconds
    refusal = cost.rejection_reason(facts, tol)
    terms = cost(facts, tol).terms if refusal is None else {}
    row = {
        "n": n,
        "kappa": kappa,
        "row_nonzeros": facts.row_nonzeros,
        "tol": tol,
        "gate_seconds": gate,
        "queries": terms.get("expected_queries", nan),
        "logical_qubits": logical_qubits(n),
        "quantum_seconds": terms.get("seconds", nan) * gate / own_gate_seconds,
        "rejection_reason": refusal or "",
    }
    if classical_cost is not None:
        row["classical_seconds"] = classical_cost(facts, tol).seconds
        row["break_even_gate_seconds"] = row["classical_seconds"] * gate / row["quantum_seconds"]
    return row
