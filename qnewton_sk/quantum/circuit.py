"""The polynomial of a matrix by a simulated quantum circuit: singular value transformation in PennyLane."""

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from .chebyshev import inverse_polynomial


def missing_extra() -> str | None:
    """Return how to install what a circuit needs, or None if it is installed."""
    missing = [name for name in ("pennylane", "nlft_qsp") if find_spec(name) is None]
    return f'{" and ".join(missing)} not installed: pip install "qnewton_sk[quantum]"' if missing else None


@lru_cache(maxsize=8)
def phase_factors(kappa: float, tol: float) -> np.ndarray:
    """Return the phases whose circuit implements `inverse_polynomial(kappa, tol)` as a real part.

    Returns
    -------
    ndarray of shape (degree + 1,)

    References
    ----------
    Alexis et al. (2024), arXiv:2407.05634 (nonlinear Fourier transform); computed by nlft-qsp.
    """
    from nlft_qsp import ChebyshevTExpansion, QSVTPhaseFactors

    coefficients = inverse_polynomial(kappa, tol).coefficients
    return np.array(QSVTPhaseFactors.solve(ChebyshevTExpansion(list(coefficients))).phi)


def block_encoding(A: np.ndarray) -> np.ndarray:
    """Return the unitary [[A, S], [S, -A]] with S = sqrt(1 - A^2), for a symmetric A of norm at most 1.

    Parameters
    ----------
    A : ndarray of shape (n, n)

    Returns
    -------
    ndarray of shape (2 n, 2 n)
        Symmetric and orthogonal. (PennyLane's own `BlockEncode` rescales A silently.)
    """
    values, vectors = np.linalg.eigh(A)
    S = (vectors * np.sqrt(np.clip(1 - values**2, 0, None))) @ vectors.T
    return np.block([[A, S], [S, -A]])


def apply_polynomial(A: np.ndarray, v: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Return Re P(A) v, the state of the circuit after both ancillas have been measured as 0.

    The phases act with opposite signs in the two branches of the first ancilla, so that their sum is the real
    part of the polynomial; the second ancilla is that of the block encoding.

    Parameters
    ----------
    A : ndarray of shape (n, n)
        Symmetric matrix of norm at most 1; n >= 2 is a power of two.
    v : ndarray of shape (n,)
        Vector of norm 1.
    phases : ndarray of shape (degree + 1,)

    Returns
    -------
    ndarray of shape (n,)

    References
    ----------
    Gilyen, Su, Low, Wiebe (2019), arXiv:1806.01838, corollary 18 (real parts).
    """
    import pennylane as qml

    width = v.size.bit_length() - 1
    branch, flag, *rest = range(width + 2)
    U = block_encoding(A)

    @qml.qnode(qml.device("default.qubit", wires=width + 2))
    def circuit() -> Any:
        qml.StatePrep(v, wires=rest)
        qml.Hadamard(branch)
        qml.IsingZZ(-2 * phases[-1], wires=[branch, flag])
        for phase in phases[-2::-1]:
            qml.QubitUnitary(U, wires=[flag, *rest])
            qml.IsingZZ(-2 * phase, wires=[branch, flag])
        qml.Hadamard(branch)
        return qml.state()

    return np.asarray(circuit())[: v.size].real
