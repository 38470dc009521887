"""Reading a solution out of a quantum computer: how many copies it takes, and what they would show."""

from math import ceil, log, pi, sqrt

import numpy as np

NORM_REPEATS = 9
"""Amplitude estimations of which the median is taken: each is within its bound with probability 8/pi^2
(Brassard et al. 2002, theorem 12), the median of nine with 98 %."""

LARGEST_MULTINOMIAL = 10**15
"""From this many copies on, counts are drawn from the normal limit: integers of 64 bits end at 9e18."""


def _sampling(n, delta):
    return n / delta**2


def _proven(n, delta):
    return 2 * 36 * n * log(max(n, 2)) / delta**2


def _coherent(n, delta):
    return n / delta


def _swap_test(n, delta):
    return n * n / delta**2


READOUTS = {
    "none": lambda n, delta: 1.0,
    "sampling": _sampling,
    "proven": _proven,
    "coherent": _coherent,
    "swap_test": _swap_test,
}
"""Copies of the solution by readout, each ``(n, delta) -> float`` for an l2 error delta of a real vector of
n entries.

- "none": one run, nothing is read.
- "sampling": n / delta^2, what amplitudes and signs take in practice; no theorem.
- "proven": 36 n ln(n) / delta^2 in each of two rounds (Kerenidis, Prakash 2020, arXiv:1812.11173, theorem
  4.3).
- "coherent": n / delta with access to the inverse of the preparation (van Apeldoorn et al. 2023,
  arXiv:2207.08800), logarithms and constants left out: optimistic.
- "swap_test": each of n overlaps to delta / sqrt(n), 1 / error^2 shots each; gives no signs.
"""


def norm_estimation_size(amplitude, delta):
    """Return M, the evaluations of amplitude estimation that bring ||x|| to the relative error `delta`.

    Solves 2 pi k sqrt(a (1 - a)) / M + k^2 pi^2 / M^2 = 2 a delta with k = 1: the norm is the square root of
    the probability a.

    Parameters
    ----------
    amplitude : float
        Success probability a, in (0, 1).
    delta : float
        Relative error of the norm.

    References
    ----------
    Brassard, Hoyer, Mosca, Tapp (2002), arXiv:quant-ph/0005055, theorem 12.

    Examples
    --------
    >>> from qnewton_sk.quantum.readout import norm_estimation_size
    >>> norm_estimation_size(0.39, 1e-2)
    397
    """
    spread = sqrt(amplitude * (1 - amplitude))
    # the small root of a quadratic, written without cancellation
    step = 2 * amplitude * delta / (pi * (spread + sqrt(spread**2 + 2 * amplitude * delta)))
    return ceil(1 / step)


def norm_estimation_runs(amplitude, delta):
    """Return the runs of the solver behind one estimate of ||x||: two an evaluation, one is its inverse."""
    return NORM_REPEATS * (2 * norm_estimation_size(amplitude, delta) + 1)


def read_amplitudes(state, copies, rng):
    """Return what `copies` measured copies tell of a real normalised state, signs included.

    Half of the copies are measured as they are and give the magnitudes; the other half interferes with a
    state of these magnitudes, and gives the signs.

    Parameters
    ----------
    state : ndarray of shape (n,)
        Real, of norm 1.
    copies : float
        Number of copies, both rounds together.
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
    half = max(ceil(copies / 2), 1)
    magnitude = np.sqrt(_frequencies(state**2, half, rng))
    # |0>(x + m)/2 + |1>(x - m)/2: the first outcome is the likelier one exactly where x is positive
    together = _frequencies(
        np.concatenate([(state + magnitude) ** 2, (state - magnitude) ** 2]) / 4, half, rng
    )
    agree, differ = np.split(together, 2)
    return np.where(agree >= differ, magnitude, -magnitude)


def _frequencies(probabilities, copies, rng):
    p = probabilities / probabilities.sum()
    if copies < LARGEST_MULTINOMIAL:
        return rng.multinomial(copies, p) / copies
    return np.maximum(p + np.sqrt(p * (1 - p) / float(copies)) * rng.standard_normal(p.size), 0.0)


def estimate_norm_factor(amplitude, delta, rng):
    """Return estimated over true norm, the median of `NORM_REPEATS` amplitude estimations.

    Parameters
    ----------
    amplitude : float
        Success probability a, in (0, 1).
    delta : float
        Relative error that the number of evaluations is chosen for.
    rng : numpy.random.Generator
    """
    M = norm_estimation_size(amplitude, delta)
    angle = np.arcsin(sqrt(amplitude)) / pi
    phases = [_estimated_phase(angle, M, rng) for _ in range(NORM_REPEATS)]
    return float(np.median(np.abs(np.sin(pi * np.array(phases)))) / sqrt(amplitude))


PHASE_WINDOW = 512
"""Outcomes of phase estimation drawn on each side of the true one; all others together have 0.04 %."""


def _estimated_phase(phase, M, rng):
    """Draw an outcome y / M of phase estimation: P(y) = [sin(M pi z) / (M sin(pi z))]^2, z = phase - y/M."""
    nearest = round(phase * M)
    outcomes = nearest + np.arange(-min(PHASE_WINDOW, (M - 1) // 2), min(PHASE_WINDOW, M // 2) + 1)
    offset = M * phase - outcomes
    weight = (np.sinc(offset) / np.sinc(offset / M)) ** 2
    return rng.choice(outcomes, p=weight / weight.sum()) / M
