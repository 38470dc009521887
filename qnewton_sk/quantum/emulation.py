"""One run of the emulated quantum solver by fidelity: the state that it leaves, and its queries."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from qnewton_sk.systems import LinearSystem, SolveStatus

from .chebyshev import InversePolynomial, inverse_degree, inverse_polynomial
from .circuit import apply_polynomial, phase_factors
from .query_counts import success_probability

LARGEST_DEGREE = {"polynomial": 200_000, "circuit": 50_000}
"""Largest degree: a product with the matrix each in the first; a gate of a fifth of a millisecond each in the
second, where the phase factors take as long again."""

ASYMMETRY = 1e-8
"""Largest difference of mirrored entries, relative to the largest entry, that counts as rounding."""


class Failure(NamedTuple):
    """Why a run is not possible."""

    status: SolveStatus
    reason: str


class Outcome(NamedTuple):
    """What a run leaves: the solution that its state stands for, and how often the run succeeds."""

    y: np.ndarray
    success_probability: float


@dataclass(frozen=True)
class NoisyRun:
    """The exact solution with its direction off by `state_error` in a random direction."""

    system: LinearSystem
    reference: Any
    state_error: float
    queries: float
    degree: None = None
    qubits: None = None

    def __call__(self, rhs, rng):
        """Return the `Outcome` for one right-hand side, or a `Failure`."""
        exact = self.reference.solve(replace(self.system, rhs=rhs))
        if not exact.status.usable:
            return Failure(exact.status, exact.status.advice)
        return Outcome(_tilt(exact.x, self.state_error, rng), success_probability(self.state_error))

    def queries_per_copy(self, probability):
        """Expected queries of one successful run; the count includes the failed ones already."""
        return self.queries


def _tilt(x, angle, rng):
    """Turn x by a random vector of relative size `angle`, its norm unchanged."""
    size, noise = np.linalg.norm(x), rng.standard_normal(x.size)
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
    def state_error(self):
        """Bound of the relative error of the state."""
        return self.polynomial.tol

    @property
    def degree(self):
        """Degree of the polynomial."""
        return self.polynomial.degree

    @property
    def qubits(self):
        """Qubits of the circuit: the unknowns, one of the block encoding, one that selects the real part."""
        return padded(len(self.scaled)).bit_length() + 1

    @property
    def queries(self):
        """Queries of one run, successful or not."""
        return float(self.degree)

    def __call__(self, rhs, rng):
        """Return the `Outcome` for one right-hand side; nothing is random here."""
        size = np.linalg.norm(rhs)
        v = rhs / size
        state = self._in_circuit(v) if self.by_circuit else self.polynomial.apply(self.scaled.__matmul__, v)
        y = state * (size / (self.norm * self.polynomial.scale))
        return Outcome(y, float(min(state @ state, 1.0)))

    def _in_circuit(self, v):
        n, width = v.size, padded(v.size)
        A, w = np.eye(width), np.zeros(width)
        A[:n, :n], w[:n] = self.scaled, v
        phases = phase_factors(self.polynomial.kappa, self.polynomial.tol)
        return apply_polynomial(A, w, phases)[:n]

    def queries_per_copy(self, probability):
        """Expected queries of one successful run, failures repeated without amplitude amplification."""
        return self.queries / probability


def padded(n):
    """Return the power of two, at least 2, that holds n amplitudes."""
    return max(2, 1 << (n - 1).bit_length())


def polynomial_run(system, fidelity):
    """Return the `PolynomialRun` of a system, or the `Failure` that prevents it.

    The degree follows from the condition number that the facts claim, as it would on a quantum computer:
    one that is too small shows in the error. Without such a claim the true one is taken.

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
    reason = too_deep(fidelity, kappa, system.tol)
    if reason:
        return Failure(SolveStatus.FAILED, reason)
    return PolynomialRun(A / norm, norm, inverse_polynomial(kappa, system.tol), fidelity == "circuit")


def _check_symmetric(A):
    gap = np.abs(A - A.T).max()
    if gap > ASYMMETRY * np.abs(A).max():
        raise ValueError(
            f"`system.matrix` must be symmetric; got entries up to {gap:.3g} apart from their mirror images; "
            "solve the system of [[0, A], [A.T, 0]] instead"
        )


def too_deep(fidelity, kappa, tol):
    """Return why the polynomial's degree is out of reach of this fidelity, or None."""
    limit = LARGEST_DEGREE[fidelity]
    # kappa alone can be inf, and no degree is below kappa sqrt(1 - tol)
    degree = inverse_degree(kappa, tol) if kappa < limit else kappa
    if degree <= limit:
        return None
    return (
        f"fidelity={fidelity!r} takes polynomials of degree up to {limit}; a condition number of {kappa:.3g} "
        f"needs {degree:.3g} or more; raise `regularization` or use fidelity='noisy'"
    )
