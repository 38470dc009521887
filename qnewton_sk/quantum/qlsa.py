"""The emulated quantum linear solver: a solution with the error and readout noise that it would leave."""

from dataclasses import replace
from math import isfinite, nan
from numbers import Integral
from typing import NamedTuple
from zlib import crc32

import numpy as np
from sklearn.utils import check_random_state

from qnewton_sk.solvers import LU
from qnewton_sk.systems import Solution, Solver, SolveStatus, failure

from .block_encoding import block_encoding_factor, logical_qubits
from .circuit import missing_extra
from .emulation import LARGEST_DEGREE, Failure, NoisyRun, padded, polynomial_run, too_deep
from .query_counts import query_count, query_model, success_probability
from .readout import READOUTS, estimate_norm_factor, norm_estimation_runs, read_amplitudes

FIDELITIES = ("ideal", "noisy", "polynomial", "circuit")

LARGEST_CIRCUIT = 64
"""Most unknowns of a circuit: 8 qubits with the two ancillas."""

REFUSAL_TOL = 1e-3
"""Error for which a degree is judged where only the facts, and no system, are known."""


EXACT_TOL = 1e-12
"""Relative error asked of the classical solver that stands behind an ideal quantum one."""


class _Exact:
    """A solver that is asked for more than the system wants: the error of a quantum solve is added after it."""

    def __init__(self, solver):
        self.solver = solver

    def solve(self, system):
        return self.solver.solve(replace(system, tol=min(system.tol, EXACT_TOL)))


class QLSA(Solver):
    """Emulated quantum linear solver.

    Parameters
    ----------
    fidelity : {"ideal", "noisy", "polynomial", "circuit"}, default="ideal"
        - "ideal": the exact solution; only the cost is quantum.
        - "noisy": the exact solution, its direction off by an error of size `tol` in a random direction,
          read out from finitely many copies, its norm estimated.
        - "polynomial": P(A) b with the odd polynomial P ~ s/x of least degree: the true algorithmic error.
        - "circuit": the same by a state-vector simulation of the circuit, gate by gate (PennyLane, up to 64
          unknowns; ``pip install "qnewton_sk[quantum]"``).
    queries : str or callable, default="jennings2023"
        Query count that fills ``info["queries"]``; see `query_count`. "polynomial" and "circuit" count
        their own.
    readout_error : float, default=None
        l2 error of reading the normalised solution, and relative error of its norm. None is the `tol` of
        the system for "noisy"; for "polynomial" and "circuit" it means that amplitudes are read off the
        simulator.
    refinements : int, default=0
        Rounds of iterative refinement: further solves for the residual, each by the same imperfect solver.
    random_state : int, RandomState instance or None, default=None
        Seed of the noise. An int gives every right-hand side its own, reproducible noise.

    Notes
    -----
    ``Solution.info`` holds "queries", "copies" and "norm_estimation_runs" (expected, of all rounds),
    "rounds", "success_probability" (of one run in the first round), "qubits" (of the circuit for
    "polynomial" and "circuit", else logical ones by `logical_qubits`), "padded_n" (the power of two that
    the registers hold), "degree" (of the polynomial, else None), and the sizes of the errors that were put
    in, in every round: "state_error", "readout_error", "norm_error". Failures are statuses, with a "reason"
    in `info`; only what no status can mend raises: a setting that does not exist, a matrix that is not
    symmetric, a missing extra.

    `system.tol` sets the error of the state and `readout_error` the number of copies, n / error^2: 1e-12
    would take 1e24 n of them, so that high precision is a matter of `refinements`, each of which multiplies
    the error of x by the error of one solve, whatever the condition number.

    References
    ----------
    Readout: Kerenidis, Prakash (2020), arXiv:1812.11173, algorithm 4.1. Norm: Brassard et al.
    (2002), arXiv:quant-ph/0005055. Polynomial: Gribling et al. (2021), arXiv:2109.04248. Circuit: Gilyen et
    al. (2019), arXiv:1806.01838, corollary 18.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.quantum.qlsa import QLSA
    >>> from qnewton_sk.systems.linear_system import LinearSystem, SystemFacts
    >>> from qnewton_sk.systems.system_matrix import SystemMatrix
    >>> A, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, -1.0])
    >>> facts = SystemFacts(n=2, kappa=2.62)
    >>> system = LinearSystem(SystemMatrix.from_entries(A), b, 1e-3, facts)
    >>> QLSA().solve(system).x
    array([ 0.8, -0.6])
    >>> read = QLSA("noisy", readout_error=1e-2, random_state=0).solve(system)
    >>> bool(np.linalg.norm(read.x - [0.8, -0.6]) < 0.03), read.info["copies"]
    (True, 20000.0)
    """

    takes_reference = True

    def __init__(
        self, fidelity="ideal", queries="jennings2023", readout_error=None, refinements=0, random_state=None
    ):
        self.fidelity = fidelity
        self.queries = queries
        self.readout_error = readout_error
        self.refinements = refinements
        self.random_state = random_state

    def rejection_reason(self, facts):
        """Return why this solver cannot take the system, or None.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        self._check()
        if facts.kappa is None or not isfinite(facts.kappa):
            return f"the condition number must be known and finite; got {facts.kappa!r}"
        if self.fidelity == "circuit" and facts.n > LARGEST_CIRCUIT:
            return f"a circuit takes up to {LARGEST_CIRCUIT} unknowns, got {facts.n}; try 'polynomial'"
        if self.fidelity == "circuit" and missing_extra():
            return missing_extra()
        return too_deep(self.fidelity, facts.kappa, REFUSAL_TOL) if self.fidelity in LARGEST_DEGREE else None

    def solve(self, system, reference=None):
        """Return the `Solution` of a `LinearSystem`.

        Parameters
        ----------
        system : LinearSystem
        reference : object, default=None
            ``solve(system) -> Solution``, the exact solver behind "ideal" and "noisy"; by default `LU`.

        Returns
        -------
        Solution

        Raises
        ------
        ValueError
            If a setting is out of range, or a matrix that has to be looked at is not symmetric.
        ImportError
            If fidelity="circuit" and PennyLane or nlft-qsp is not installed.
        """
        self._check()
        if self.fidelity == "circuit" and missing_extra():
            raise ImportError(missing_extra())
        if not 0 < system.tol < 1:
            raise ValueError(f"`system.tol` must be in (0, 1); got {system.tol!r}")
        if not np.isfinite(system.rhs).all():
            return failure(system, SolveStatus.NON_FINITE, reason="the right-hand side is not finite")
        if not system.rhs.any():
            zero = np.zeros_like(system.rhs)
            return Solution(zero, SolveStatus.SUCCESS, 0.0, zero, info=_account(system, []))
        reference = _Exact(reference or LU())
        if self.fidelity == "ideal":
            return self._ideal(system, reference)
        run = self._run(system, reference)
        return (
            failure(system, run.status, reason=run.reason)
            if isinstance(run, Failure)
            else self._rounds(system, run)
        )

    def _check(self):
        if self.fidelity not in FIDELITIES:
            raise ValueError(f"`fidelity` must be one of {FIDELITIES}; got {self.fidelity!r}")
        query_model(self.queries)
        if self.readout_error is not None and not 0 < self.readout_error < 1:
            raise ValueError(f"`readout_error` must be None or in (0, 1); got {self.readout_error!r}")
        if not (isinstance(self.refinements, Integral) and self.refinements >= 0):
            raise ValueError(f"`refinements` must be an int >= 0; got {self.refinements!r}")

    def _ideal(self, system, reference):
        solution, queries = reference.solve(system), self._queries(system)
        reading = _Reading(None, queries, 1.0, 0.0, success_probability(self._tol(system)), None, 0.0, 0.0)
        return replace(solution, info={**solution.info, **_account(system, [reading])})

    def _tol(self, system):
        # a model that allows no such large error still counts what a smaller one takes
        return min(system.tol, query_model(self.queries).tol_max)

    def _queries(self, system):
        facts, tol, model = system.facts, self._tol(system), query_model(self.queries)
        alpha = block_encoding_factor(facts)
        if (
            facts.kappa is None
            or not isfinite(facts.kappa)
            or model.rejection_reason(facts.kappa, tol, alpha)
        ):
            return nan
        return query_count(facts.kappa, tol, alpha=alpha, model=model)

    def _run(self, system, reference):
        if self.fidelity == "noisy":
            return NoisyRun(system, reference, self._tol(system), self._queries(system))
        if self.fidelity == "circuit" and system.matrix.n > LARGEST_CIRCUIT:
            return Failure(SolveStatus.FAILED, f"a circuit takes up to {LARGEST_CIRCUIT} unknowns")
        return polynomial_run(system, self.fidelity)

    def _rounds(self, system, run):
        """Solve, and solve again for the residual, as often as asked."""
        rng = self._rng(system.rhs)
        x, image, readings = np.zeros(system.rhs.size), np.zeros(system.rhs.size), []
        for _ in range(self.refinements + 1):
            reading = self._read(run, system.rhs - image, rng)
            if isinstance(reading, Failure):
                return failure(system, reading.status, reason=reading.reason)
            readings.append(reading)
            x = x + reading.x
            image = system.matrix.product(x)
            if np.array_equal(image, system.rhs):
                break
        return _finish(system, x, image, _account(system, readings))

    def _read(self, run, rhs, rng):
        """One round: prepare copies of the state, measure them, estimate the norm."""
        outcome = run(rhs, rng)
        if isinstance(outcome, Failure):
            return outcome
        y, p = outcome
        delta = self.readout_error or (run.state_error if self.fidelity == "noisy" else None)
        per_copy = run.queries_per_copy(p)
        if delta is None:
            return _Reading(y, per_copy, 1.0, 0.0, p, run, 0.0, 0.0)
        copies, norm_runs = READOUTS["sampling"](y.size, delta), float(norm_estimation_runs(p, delta))
        size = np.linalg.norm(y)
        read = read_amplitudes(y / size, copies, rng) * (size * estimate_norm_factor(p, delta, rng))
        return _Reading(
            read, copies * per_copy + norm_runs * run.queries, copies, norm_runs, p, run, delta, delta
        )

    def _rng(self, rhs):
        if isinstance(self.random_state, Integral):
            return np.random.default_rng([int(self.random_state), crc32(np.ascontiguousarray(rhs).tobytes())])
        if self.random_state is None:
            return np.random.default_rng()
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31))


class _Reading(NamedTuple):
    """What one round gave, and what it took."""

    x: np.ndarray | None
    queries: float
    copies: float
    norm_estimation_runs: float
    success_probability: float
    run: object
    readout_error: float
    norm_error: float


def _account(system, readings):
    """The entries of `Solution.info`; without any round, those of a right-hand side of zero."""
    first = readings[0] if readings else _Reading(None, 0.0, 0.0, 0.0, 1.0, None, 0.0, 0.0)
    return {
        "queries": sum(reading.queries for reading in readings),
        "copies": sum(reading.copies for reading in readings),
        "norm_estimation_runs": sum(reading.norm_estimation_runs for reading in readings),
        "rounds": len(readings),
        "success_probability": first.success_probability,
        "qubits": (first.run and first.run.qubits) or logical_qubits(system.rhs.size),
        "padded_n": padded(system.rhs.size),
        "degree": first.run.degree if first.run else None,
        "state_error": first.run.state_error if first.run else 0.0,
        "readout_error": first.readout_error,
        "norm_error": first.norm_error,
    }


def _finish(system, x, image, info):
    relative = float(np.linalg.norm(image - system.rhs) / np.linalg.norm(system.rhs))
    if not isfinite(relative):
        return failure(system, SolveStatus.NON_FINITE, **info)
    # the promise is an error of x, which shows up to kappa times larger in the residual: that alone is no
    # failure, a residual above that of x = 0 is
    status = SolveStatus.INACCURATE if relative > 1 else SolveStatus.SUCCESS
    dtype = system.rhs.dtype
    return Solution(x.astype(dtype, copy=False), status, relative, image.astype(dtype, copy=False), info=info)
