"""One run of the emulated quantum solver at each fidelity: the state that it produces, and its queries."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from qnewton_sk.systems import LinearSystem, Solution, SolveStatus

from .chebyshev import InversePolynomial, inverse_degree, inverse_polynomial
from .circuit import apply_polynomial, phase_factors
from .query_counts import success_probability

MAX_DEGREE = {"polynomial": 200_000, "circuit": 50_000}
"""Maximum degree of the polynomial. A polynomial takes one matvec per degree; a circuit takes one gate of
about 0.2 ms per degree, and as long again for its phase factors."""

MAX_ASYMMETRY = 1e-8
"""Maximum difference between A_ij and A_ji, relative to the largest entry, that is taken for rounding."""


class Failure(NamedTuple):
    """The reason why a run is not possible."""

    status: SolveStatus
    reason: str


class Outcome(NamedTuple):
    """The result of a run: the solution that its state encodes, and the probability that the run succeeds."""

    y: np.ndarray
    success_probability: float


class ReferenceSolver(Protocol):
    """A solver whose solution is taken as exact."""

    def solve(self, system: LinearSystem) -> Solution:
        """Return the solution of a system."""


class Run(Protocol):
    """One run of the emulated solver, which can be repeated for any right-hand side."""

    @property
    def state_error(self) -> float:
        """Bound of the relative error of the state."""

    @property
    def degree(self) -> int | None:
        """Degree of the polynomial, None without one."""

    @property
    def qubits(self) -> int | None:
        """Qubits of the circuit, None without one."""

    def __call__(self, rhs: np.ndarray, rng: np.random.Generator) -> Outcome | Failure:
        """Return the outcome for one right-hand side, or a failure."""

    def queries_per_run(self, probability: float) -> float:
        """Queries of one run of this success probability, whether it succeeds or not."""

    def queries_per_copy(self, probability: float) -> float:
        """Expected queries until a run of this success probability has succeeded."""


@dataclass(frozen=True)
class NoisyRun:
    """The exact solution, perturbed by the relative error `state_error` in a random direction.

    `expected_queries` counts the queries until one run has succeeded.
    """

    system: LinearSystem
    reference: ReferenceSolver
    state_error: float
    expected_queries: float
    degree: None = None
    qubits: None = None

    def __call__(self, rhs: np.ndarray, rng: np.random.Generator) -> Outcome | Failure:
        """Return the `Outcome` for one right-hand side, or a `Failure`."""
        exact = self.reference.solve(replace(self.system, rhs=rhs))
        if not exact.status.usable:
            return Failure(exact.status, exact.status.advice)
        return Outcome(_tilt(exact.x, self.state_error, rng), success_probability(self.state_error))

    def queries_per_run(self, probability: float) -> float:
        """Queries of one run, successful or not."""
        return self.expected_queries * probability

    def queries_per_copy(self, probability: float) -> float:
        """Expected queries of one successful run; the query count includes the failed ones already."""
        return self.expected_queries


def _tilt(x: np.ndarray, angle: float, rng: np.random.Generator) -> np.ndarray:
    """Turn x by a random vector of relative size `angle` and keep its norm."""
    size, noise = np.linalg.norm(x), rng.standard_normal(x.size)
    if size == 0:
        return x
    tilted = x + noise * (angle * size / np.linalg.norm(noise))
    return tilted * (size / np.linalg.norm(tilted))


@dataclass(frozen=True)
class PolynomialRun:
    """P(A / ||A||) b by products with A, or by the circuit."""

    scaled: np.ndarray
    norm: float
    polynomial: InversePolynomial
    by_circuit: bool

    @property
    def state_error(self) -> float:
        """Bound of the relative error of the state."""
        return self.polynomial.tol

    @property
    def degree(self) -> int:
        """Degree of the polynomial."""
        return self.polynomial.degree

    @property
    def qubits(self) -> int:
        """Qubits of the circuit: the unknowns, one of the block encoding, one that selects the real part."""
        return padded(len(self.scaled)).bit_length() + 1

    def __call__(self, rhs: np.ndarray, rng: np.random.Generator) -> Outcome:
        """Return the `Outcome` for one right-hand side, which is deterministic."""
        size = float(np.linalg.norm(rhs))
        v = rhs / size
        state = self._in_circuit(v) if self.by_circuit else self.polynomial.apply(self.scaled.__matmul__, v)
        y = state * (size / (self.norm * self.polynomial.scale))
        return Outcome(y, float(min(state @ state, 1.0)))

    def _in_circuit(self, v: np.ndarray) -> np.ndarray:
        n, width = v.size, padded(v.size)
        A, w = np.eye(width), np.zeros(width)
        A[:n, :n], w[:n] = self.scaled, v
        phases = phase_factors(self.polynomial.kappa, self.polynomial.tol)
        return apply_polynomial(A, w, phases)[:n]

    def queries_per_run(self, probability: float) -> float:
        """Queries of one run, successful or not: one per degree."""
        return float(self.degree)

    def queries_per_copy(self, probability: float) -> float:
        """Expected queries of one successful run, failures repeated without amplitude amplification."""
        return self.degree / probability


def padded(n: int) -> int:
    """Return the power of two, at least 2, that holds n amplitudes."""
    return max(2, 1 << (n - 1).bit_length())


def polynomial_run(system: LinearSystem, fidelity: str) -> PolynomialRun | Failure:
    """Return the `PolynomialRun` of a system, or the `Failure` that prevents it.

    The degree follows from the condition number given in the facts, as it would on a quantum computer; if
    that number is too small, the error of the solution exceeds the tolerance. If the facts give none, the
    true condition number is used.

    Raises
    ------
    ValueError
        If the matrix is not symmetric.
    """
    A = system.matrix.dense().astype(float, copy=False)
    if not np.isfinite(A).all():
        return Failure(SolveStatus.NON_FINITE, "the matrix is not finite")
    _check_symmetric(A)
    sizes = np.abs(np.linalg.eigvalsh(A))
    norm, smallest = sizes.max(), sizes.min()
    if smallest <= A.shape[0] * np.finfo(float).eps * norm:
        return Failure(SolveStatus.SINGULAR, "the matrix is singular to working precision")
    kappa = float(system.facts.kappa or norm / smallest)
    reason = degree_rejection_reason(fidelity, kappa, system.tol)
    if reason:
        return Failure(SolveStatus.FAILED, reason)
    return PolynomialRun(A / norm, float(norm), inverse_polynomial(kappa, system.tol), fidelity == "circuit")


def _check_symmetric(A: np.ndarray) -> None:
    gap = np.abs(A - A.T).max()
    if gap > MAX_ASYMMETRY * np.abs(A).max():
        raise ValueError(
            f"`system.matrix` must be symmetric; got entries up to {gap:.3g} apart from their mirror images; "
            "solve the system of [[0, A], [A.T, 0]] instead"
        )


def degree_rejection_reason(fidelity: str, kappa: float, tol: float) -> str | None:
    """Return why the polynomial's degree is out of reach of this fidelity, or None."""
    limit = MAX_DEGREE[fidelity]
    # kappa may be inf, and no degree is below kappa sqrt(1 - tol)
    degree = inverse_degree(kappa, tol) if kappa < limit else kappa
    if degree <= limit:
        return None
    return (
        f"fidelity={fidelity!r} takes polynomials of degree up to {limit}; a condition number of {kappa:.3g} "
        f"needs {degree:.3g} or more; raise `regularization` or use fidelity='noisy'"
    )
