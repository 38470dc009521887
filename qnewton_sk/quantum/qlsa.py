"""The emulated quantum linear solver: solutions with the errors and the readout noise of a quantum computer."""

from dataclasses import replace
from math import inf, isfinite, nan
from numbers import Real
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from qnewton_sk.solvers import LU
from qnewton_sk.systems import (
    LinearSystem,
    Solution,
    Solver,
    SolveStatus,
    SystemFacts,
    failure,
    is_int,
    is_real,
)

from .block_encoding import block_encoding_factor, logical_qubits
from .circuit import missing_extra
from .emulation import (
    MAX_DEGREE,
    Failure,
    NoisyRun,
    ReferenceSolver,
    Run,
    degree_rejection_reason,
    padded,
    polynomial_run,
)
from .query_counts import (
    Formula,
    QueryModel,
    argument_rejection_reason,
    query_model,
    success_probability,
)
from .readout import READOUTS, estimate_norm_factor, norm_estimation_runs, read_amplitudes

FIDELITIES = ("ideal", "noisy", "polynomial", "circuit")

MAX_CIRCUIT_UNKNOWNS = 64
"""Maximum number of unknowns of a circuit: 8 qubits with the two ancillas."""

REJECTION_TOL = 1e-3
"""Error at which the degree is checked while only the facts are known, and not yet the system."""

EXACT_TOL = 1e-12
"""Relative error required of the classical solver that computes the exact solution."""


class _TightenedTolerance:
    """A solver with a tighter tolerance than that of the system; the error of a quantum solve is added afterwards."""

    def __init__(self, solver: ReferenceSolver) -> None:
        self.solver = solver

    def solve(self, system: LinearSystem) -> Solution:
        return self.solver.solve(replace(system, tol=min(system.tol, EXACT_TOL)))


class QLSA(Solver):
    """Emulated quantum linear solver.

    Parameters
    ----------
    fidelity : {"ideal", "noisy", "polynomial", "circuit"}, default="ideal"
        - "ideal": the exact solution; only the cost is quantum.
        - "noisy": the exact solution, perturbed by an error of size `tol` in a random direction, then read
          out from finitely many copies, with its norm estimated.
        - "polynomial": P(A) b with the odd polynomial P ~ s/x of minimum degree, which has the true
          algorithmic error.
        - "circuit": the same by a state-vector simulation of the circuit, gate by gate (PennyLane, up to 64
          unknowns; ``pip install "qnewton_sk[quantum]"``).
    queries : str or callable, default="jennings2023"
        Query count for ``info["queries"]``; see `query_count`. "polynomial" and "circuit" count their actual
        queries instead.
    readout_error : float, default=None
        l2 error of reading the normalised solution, and relative error of its norm. None means the `tol` of
        the system for "noisy", and the exact amplitudes of the simulator for "polynomial" and "circuit".
    refinements : int, default=0
        Rounds of iterative refinement: further solves for the residual, each by the same imperfect solver.
    random_state : int, RandomState instance or None, default=None
        Seed of the noise. An int gives every right-hand side its own, reproducible noise.

    Notes
    -----
    ``Solution.info``, which is for inspection only, holds "queries", "copies" and "norm_estimation_runs"
    (expected, of all rounds), "rounds", "success_probability" (of one run in the first round), "qubits" (of
    the circuit for
    "polynomial" and "circuit", else logical ones by `logical_qubits`), "padded_n" (the power of two that the
    registers hold), "degree" (of the polynomial, else None), and the sizes of the errors that each round adds:
    "state_error", "readout_error", "norm_error". A failure is a status, with a "reason"
    in `info`; an exception is raised only for wrong use: a setting that does not exist, a matrix that is not
    symmetric, a missing extra.

    `system.tol` sets the error of the state and `readout_error` the number of copies, n / error^2; an error
    of 1e-12 would take 1e24 n copies. For high precision set `refinements`: each one multiplies the error of
    x by the error of one solve, whatever the condition number.

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

    needs = "entries"
    bounds_by = "shift"
    takes_reference = True

    def __init__(
        self,
        fidelity: str = "ideal",
        queries: str | Formula | QueryModel = "jennings2023",
        readout_error: float | None = None,
        refinements: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.fidelity = fidelity
        self.queries = queries
        self.readout_error = readout_error
        self.refinements = refinements
        self.random_state = random_state

    def rejection_reason(self, facts: SystemFacts) -> str | None:
        """Return why this solver cannot solve the system, or None.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        self.check()
        if facts.kappa is None or not isfinite(facts.kappa):
            return (
                "the condition number must be known and finite (set `condition_number` to an estimator, or raise "
                f"`regularization`); got {facts.kappa!r}"
            )
        if self.fidelity == "circuit" and facts.n > MAX_CIRCUIT_UNKNOWNS:
            return f"a circuit takes up to {MAX_CIRCUIT_UNKNOWNS} unknowns, got {facts.n}; try 'polynomial'"
        if self.fidelity == "circuit" and missing_extra():
            return missing_extra()
        if self.fidelity in MAX_DEGREE:
            return degree_rejection_reason(self.fidelity, facts.kappa, REJECTION_TOL)
        return None

    def solve(self, system: LinearSystem, reference: ReferenceSolver | None = None) -> Solution:
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
            If a setting is out of range, or a matrix whose entries are used is not symmetric.
        ImportError
            If fidelity="circuit" and PennyLane or nlft-qsp is not installed.
        """
        self.check()
        if self.fidelity == "circuit" and missing_extra():
            raise ImportError(missing_extra())
        if not (isinstance(system.tol, Real) and 0 < system.tol < 1):
            raise ValueError(f"`system.tol` must be in (0, 1); got {system.tol!r}")
        if not np.isfinite(system.rhs).all():
            return failure(system, SolveStatus.NON_FINITE, reason="the right-hand side is not finite")
        if not system.rhs.any():
            zero = np.zeros_like(system.rhs)
            return Solution(zero, SolveStatus.SUCCESS, 0.0, info=_account(system, []), image=zero)
        exact = _TightenedTolerance(reference or LU())
        if self.fidelity == "ideal":
            return self._ideal(system, exact)
        with np.errstate(over="ignore", invalid="ignore"):  # the status reports them
            return self._emulated(system, exact)

    def check(self) -> None:
        """Raise ValueError if a setting is unknown or out of range."""
        if not isinstance(self.fidelity, str) or self.fidelity not in FIDELITIES:
            raise ValueError(f"`fidelity` must be one of {FIDELITIES}; got {self.fidelity!r}")
        query_model(self.queries, "queries")
        error, rounds, seed = self.readout_error, self.refinements, self.random_state
        if error is not None and not (is_real(error) and 0 < error < 1):
            raise ValueError(f"`readout_error` must be None or in (0, 1); got {error!r}")
        if not (is_int(rounds) and rounds >= 0):
            raise ValueError(f"`refinements` must be an int >= 0; got {rounds!r}")
        if not (seed is None or isinstance(seed, np.random.RandomState) or _is_seed(seed)):
            raise ValueError(
                f"`random_state` must be None, an int in [0, 2**32 - 1] or a RandomState; got {seed!r}"
            )

    def _ideal(self, system: LinearSystem, exact: ReferenceSolver) -> Solution:
        solution, queries = exact.solve(system), self._expected_queries(system)
        probability = success_probability(self._model_tol(system))
        reading = _Reading(None, queries, 1.0, 0.0, probability, None, 0.0, 0.0)
        return replace(solution, info={**solution.info, **_account(system, [reading])})

    def _model_tol(self, system: LinearSystem) -> float:
        # an error above the maximum of the model is counted as that maximum
        return min(system.tol, query_model(self.queries).tol_max)

    def _expected_queries(self, system: LinearSystem) -> float:
        facts, tol, model = system.facts, self._model_tol(system), query_model(self.queries)
        kappa, alpha = facts.kappa, block_encoding_factor(facts)
        if kappa is None or argument_rejection_reason(kappa, tol, alpha):
            return nan
        return nan if model.rejection_reason(kappa, tol, alpha) else model(kappa, tol, alpha)

    def _emulated(self, system: LinearSystem, exact: ReferenceSolver) -> Solution:
        run = self._run(system, exact)
        if isinstance(run, Failure):
            return failure(system, run.status, reason=run.reason)
        return self._rounds(system, run)

    def _run(self, system: LinearSystem, exact: ReferenceSolver) -> Run | Failure:
        if self.fidelity == "noisy":
            return NoisyRun(system, exact, self._model_tol(system), self._expected_queries(system))
        if self.fidelity == "circuit" and system.matrix.n > MAX_CIRCUIT_UNKNOWNS:
            return Failure(SolveStatus.FAILED, f"a circuit takes up to {MAX_CIRCUIT_UNKNOWNS} unknowns")
        return polynomial_run(system, self.fidelity)

    def _rounds(self, system: LinearSystem, run: Run) -> Solution:
        """Solve once, and then once per refinement for the remaining residual."""
        rng, unit = self._generator(system.rhs), _power_of_two(system.rhs)
        rhs = system.rhs.astype(float) / unit  # so that its squares neither overflow nor underflow
        x, image, readings = np.zeros(rhs.size), np.zeros(rhs.size), []
        for _ in range(self.refinements + 1):
            reading = self._read(run, rhs - image, rng)
            if isinstance(reading, Failure):
                return failure(system, reading.status, reason=reading.reason)
            readings.append(reading)
            x = x + reading.x
            image = system.matrix.product(x)
            if np.array_equal(image, rhs):
                break
        return _finished(system, x, image, rhs, unit, _account(system, readings))

    def _read(self, run: Run, rhs: np.ndarray, rng: np.random.Generator) -> "_Reading | Failure":
        """One round: prepare copies of the state, measure them, estimate the norm."""
        outcome = run(rhs, rng)
        if isinstance(outcome, Failure):
            return outcome
        y, p = outcome
        delta = self.readout_error or (run.state_error if self.fidelity == "noisy" else None)
        size = float(np.linalg.norm(y))
        if delta is None or not 0 < size < inf:
            return _Reading(y, run.queries_per_copy(p), 1.0, 0.0, p, run, 0.0, 0.0)
        copies, norm_runs = READOUTS["sampling"](y.size, delta), norm_estimation_runs(p, delta)
        read = read_amplitudes(y / size, copies, rng) * (size * estimate_norm_factor(p, delta, rng))
        queries = copies * run.queries_per_copy(p) + norm_runs * run.queries_per_run(p)
        return _Reading(read, queries, copies, norm_runs, p, run, delta, delta)

    def _generator(self, rhs: np.ndarray) -> np.random.Generator:
        if isinstance(self.random_state, int | np.integer):
            return np.random.default_rng([int(self.random_state), crc32(np.ascontiguousarray(rhs).tobytes())])
        if self.random_state is None:
            return np.random.default_rng()
        return np.random.default_rng(self.random_state.randint(2**31))


def _is_seed(seed: object) -> bool:
    return isinstance(seed, int | np.integer) and 0 <= int(seed) < 2**32


def _power_of_two(rhs: np.ndarray) -> float:
    """The power of two next to the largest entry; dividing by it is exact."""
    return float(2.0 ** np.clip(np.frexp(np.abs(rhs).max())[1], -1021, 1023))


class _Reading(NamedTuple):
    """The result of one round, and the resources that it took."""

    x: Any
    queries: float
    copies: float
    norm_estimation_runs: float
    success_probability: float
    run: Run | None
    readout_error: float
    norm_error: float


def _account(system: LinearSystem, readings: list[_Reading]) -> dict[str, Any]:
    """The entries of `Solution.info`; with no rounds, those of a zero right-hand side."""
    first = readings[0] if readings else _Reading(None, 0.0, 0.0, 0.0, 1.0, None, 0.0, 0.0)
    run, n = first.run, system.rhs.size
    return {
        "queries": sum(reading.queries for reading in readings),
        "copies": sum(reading.copies for reading in readings),
        "norm_estimation_runs": sum(reading.norm_estimation_runs for reading in readings),
        "rounds": len(readings),
        "success_probability": first.success_probability,
        "qubits": (run.qubits if run else None) or logical_qubits(n),
        "padded_n": padded(n),
        "degree": run.degree if run else None,
        "state_error": run.state_error if run else 0.0,
        "readout_error": first.readout_error,
        "norm_error": first.norm_error,
    }


def _finished(
    system: LinearSystem,
    x: np.ndarray,
    image: np.ndarray,
    rhs: np.ndarray,
    unit: float,
    info: dict[str, Any],
) -> Solution:
    """The `Solution` from x and A x for the right-hand side divided by `unit`."""
    relative = float(np.linalg.norm(image - rhs) / np.linalg.norm(rhs))
    dtype = system.rhs.dtype
    x, image = (x * unit).astype(dtype, copy=False), (image * unit).astype(dtype, copy=False)
    if not (isfinite(relative) and np.isfinite(x).all() and np.isfinite(image).all()):
        return failure(system, SolveStatus.NON_FINITE, **info)
    # The tolerance bounds the error of x; the relative residual may be up to kappa times larger, which is not
    # a failure. A residual larger than that of x = 0 is one.
    status = SolveStatus.INACCURATE if relative > 1 else SolveStatus.SUCCESS
    return Solution(x, status, relative, info=info, image=image)
