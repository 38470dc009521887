"""Reading a solution out of a quantum computer: how many copies it needs, and what they would show."""

from collections.abc import Callable
from math import ceil, inf, log, pi, sqrt

import numpy as np

NORM_REPEATS = 9
"""Number of amplitude estimations whose median is taken. Each is within its bound with probability 8/pi^2
(Brassard et al. 2002, theorem 12), the median of nine with 98 %."""

MAX_MULTINOMIAL_COPIES = 10**15
"""Maximum number of copies whose counts are drawn exactly; more are drawn from the normal limit, because the
maximum of a 64-bit integer is 9e18."""


def _sampling(n: int, delta: float) -> float:
    return n / delta / delta  # the square of a small delta would underflow to zero


def _proven(n: int, delta: float) -> float:
    return 2 * 36 * n * log(max(n, 2)) / delta / delta


def _coherent(n: int, delta: float) -> float:
    return n / delta


def _swap_test(n: int, delta: float) -> float:
    return n * n / delta / delta


READOUTS: dict[str, Callable[[int, float], float]] = {
    "none": lambda n, delta: 1.0,
    "sampling": _sampling,
    "proven": _proven,
    "coherent": _coherent,
    "swap_test": _swap_test,
}
"""Number of copies of the solution that each readout needs, ``(n, delta) -> float`` for an l2 error delta of
a real vector of n entries; inf if it is beyond the range of floats.

- "none": one run, nothing is read.
- "sampling": n / delta^2, which suffices for amplitudes and signs in practice but is not proven.
- "proven": 36 n ln(n) / delta^2 in each of two rounds (Kerenidis, Prakash 2020, arXiv:1812.11173, theorem
  4.3).
- "coherent": n / delta with access to the inverse of the preparation (van Apeldoorn et al. 2023,
  arXiv:2207.08800). Logarithms and constants are left out, so the number is optimistic.
- "swap_test": n overlaps, each to the error delta / sqrt(n) by 1 / error^2 shots; it gives no signs.
"""


def norm_estimation_size(amplitude: float, delta: float) -> float:
    """Return M, the number of evaluations by which amplitude estimation gives ||x|| to the relative error `delta`.

    Solves 2 pi k sqrt(a (1 - a)) / M + k^2 pi^2 / M^2 = 2 a delta with k = 1: the norm is the square root of
    the probability a.

    Parameters
    ----------
    amplitude : float
        Success probability a, in (0, 1).
    delta : float
        Relative error of the norm.

    Returns
    -------
    float
        A whole number; inf if it is beyond the range of floats.

    References
    ----------
    Brassard, Hoyer, Mosca, Tapp (2002), arXiv:quant-ph/0005055, theorem 12.

    Examples
    --------
    >>> from qnewton_sk.quantum.readout import norm_estimation_size
    >>> norm_estimation_size(0.39, 1e-2)
    397.0
    """
    spread = sqrt(amplitude * (1 - amplitude))
    # the small root of a quadratic, written without cancellation
    size = pi * (spread + sqrt(spread**2 + 2 * amplitude * delta)) / (2 * amplitude) / delta
    return float(ceil(size)) if size < inf else inf


def norm_estimation_runs(amplitude: float, delta: float) -> float:
    """Return the number of runs of the solver that one estimate of ||x|| needs.

    Each of `NORM_REPEATS` amplitude estimations takes one run and two per evaluation, one of them inverted. A run
    counts once, whether it succeeds or not: nothing is repeated until success.
    """
    return NORM_REPEATS * (2 * norm_estimation_size(amplitude, delta) + 1)


def read_amplitudes(state: np.ndarray, copies: float, rng: np.random.Generator) -> np.ndarray:
    """Return the estimate of a real normalised state from `copies` measured copies, signs included.

    Half of the copies are measured as they are and give the magnitudes; the other half interferes with a
    state of these magnitudes, and gives the signs.

    Parameters
    ----------
    state : ndarray of shape (n,)
        Real, of norm 1.
    copies : float
        Number of copies in both rounds together; inf gives the state itself.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (n,)

    References
    ----------
    Kerenidis, Prakash (2020), arXiv:1812.11173, algorithm 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.quantum.readout import read_amplitudes
    >>> read = read_amplitudes(np.array([0.6, -0.8]), 1e6, np.random.default_rng(0))
    >>> bool(np.linalg.norm(read - [0.6, -0.8]) < 1e-2)
    True
    """
    half = copies / 2 if copies > MAX_MULTINOMIAL_COPIES else max(ceil(copies / 2), 1)
    magnitude = np.sqrt(_frequencies(state**2, half, rng))
    # |0>(x + m)/2 + |1>(x - m)/2: the first outcome is the likelier one exactly where x is positive
    together = _frequencies(
        np.concatenate([(state + magnitude) ** 2, (state - magnitude) ** 2]) / 4, half, rng
    )
    agree, differ = np.split(together, 2)
    return np.where(agree >= differ, magnitude, -magnitude)


def _frequencies(probabilities: np.ndarray, copies: float, rng: np.random.Generator) -> np.ndarray:
    p = probabilities / probabilities.sum()
    if copies <= MAX_MULTINOMIAL_COPIES:
        return rng.multinomial(int(copies), p) / copies
    return np.maximum(p + np.sqrt(p * (1 - p) / copies) * rng.standard_normal(p.size), 0.0)


def estimate_norm_factor(amplitude: float, delta: float, rng: np.random.Generator) -> float:
    """Return the estimated norm over the true norm, for the median of `NORM_REPEATS` amplitude estimations.

    Parameters
    ----------
    amplitude : float
        Success probability a, in (0, 1).
    delta : float
        Relative error from which the number of evaluations follows.
    rng : numpy.random.Generator

    Returns
    -------
    float
    """
    M = norm_estimation_size(amplitude, delta)
    angle = float(np.arcsin(sqrt(amplitude))) / pi
    phases = [_estimated_phase(angle, M, rng) for _ in range(NORM_REPEATS)]
    return float(np.median(np.abs(np.sin(pi * np.array(phases)))) / sqrt(amplitude))


PHASE_WINDOW = 512
"""Number of outcomes of phase estimation drawn on each side of the true one; the probability of all others is
0.04 %."""

MAX_PHASE_SIZE = 2.0**53
"""Maximum M whose outcomes y / M differ in double precision; a finer estimate returns the phase itself."""


def _estimated_phase(phase: float, M: float, rng: np.random.Generator) -> float:
    """Draw an outcome y / M of phase estimation: P(y) = [sin(M pi z) / (M sin(pi z))]^2, z = phase - y/M."""
    if M > MAX_PHASE_SIZE:
        return phase
    nearest = round(phase * M)
    outcomes = nearest + np.arange(-min(PHASE_WINDOW, (M - 1) // 2), min(PHASE_WINDOW, M // 2) + 1)
    offset = M * phase - outcomes
    weight = (np.sinc(offset) / np.sinc(offset / M)) ** 2
    return rng.choice(outcomes, p=weight / weight.sum()) / M
