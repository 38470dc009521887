"""The first-order phase's memory: curvature pairs seen along the way, and the direction they give (L-BFGS)."""

import math

import numpy as np
from scipy.linalg.lapack import dtrtrs

PAIRS = 10
"""Pairs kept; Liu and Nocedal (1989) find 3 to 20 to do, scikit-learn's MLP uses 10."""

LEAST_CURVATURE = 1e-10
"""Cosine of step and change of gradient below which a pair is left out: it would spoil the definiteness."""


class CurvaturePairs:
    """Steps s and changes of the gradient y of one run, and the product of their inverse Hessian with a vector.

    The compact form of L-BFGS (Byrd, Nocedal, Schnabel 1994, "Representations of quasi-Newton matrices and
    their use in limited memory methods", theorem 2.2): a few matrix products rather than two loops.

    Parameters
    ----------
    n : int
        Number of parameters.
    dtype : dtype
        Of the parameters.
    size : int, default=PAIRS
        Pairs kept; the oldest goes first.
    """

    def __init__(self, n, dtype, size=PAIRS):
        self.S, self.Y = np.empty((size, n), dtype), np.empty((size, n), dtype)
        self.SY, self.YY = np.empty((size, size)), np.empty((size, size))
        self.count = self.next = 0

    def add(self, s, y):
        """Note a step and the change of the gradient along it, unless its curvature is not positive."""
        sy, scale = float(s @ y), math.sqrt(float(s @ s) * float(y @ y))
        if not sy > LEAST_CURVATURE * scale:
            return
        k = self.next  # the oldest row is overwritten where it stands; `_order` knows the ages
        self.S[k], self.Y[k] = s, y
        self.next, self.count = (k + 1) % len(self.S), min(self.count + 1, len(self.S))
        m = self.count
        self.SY[:m, k], self.SY[k, :m] = self.S[:m] @ y, self.Y[:m] @ s
        self.YY[:m, k] = self.YY[k, :m] = self.Y[:m] @ y

    def _order(self):
        """Rows from the oldest pair to the newest."""
        start = self.next if self.count == len(self.S) else 0
        return (start + np.arange(self.count)) % len(self.S)

    def direction(self, gradient):
        """Return minus the inverse Hessian times the gradient; the scaled steepest descent without pairs."""
        m = self.count
        if not m:
            return -gradient / max(math.sqrt(gradient @ gradient), 1.0)
        S, Y, order = self.S[:m], self.Y[:m], self._order()
        R, YY = self.SY[np.ix_(order, order)], self.YY[np.ix_(order, order)]
        gamma = R[-1, -1] / YY[-1, -1]
        u = dtrtrs(R, (S @ gradient)[order])[0]
        inner = R.diagonal() * u + gamma * (YY @ u - (Y @ gradient)[order])
        w = dtrtrs(R, inner, trans=1)[0]
        by_row = np.empty((2, m), gradient.dtype)
        by_row[0, order], by_row[1, order] = gamma * u, w
        return by_row[0] @ Y - by_row[1] @ S - gradient.dtype.type(gamma) * gradient


SUFFICIENT_DECREASE, SUFFICIENT_CURVATURE = 1e-4, 0.9
"""Constants of the Wolfe conditions for quasi-Newton directions (Nocedal and Wright 2006, section 3.1)."""

MOST_TRIALS = 25
"""Points tried before a direction is given up."""


def wolfe_search(objective, theta, value, gradient, direction):
    """Find a step along `direction` that meets the weak Wolfe conditions.

    Decrease alone would let steps so short or so wild pass that the pairs learn nothing from them. Bracketing
    and bisection (Lewis and Overton 2013, "Nonsmooth optimization via quasi-Newton methods", algorithm 2.6), a
    parabola in place of the first bisections.

    Returns
    -------
    (found, gradients)
        `found` is (length, theta, value, gradient) or None; `gradients` how many were computed.
    """
    slope = float(gradient @ direction)
    if not slope < 0:
        return None, 0.0
    low, high, length, cost, best = 0.0, math.inf, 1.0, 0.0, None
    for _ in range(MOST_TRIALS):
        new = theta + length * direction
        new_value, new_gradient = objective.value_and_grad(new)  # nearly every first trial needs both
        cost += 1.0
        if not new_value <= value + SUFFICIENT_DECREASE * length * slope:
            high = length
            length = _inside(low, high, _parabola(length, slope, new_value - value) if not low else None)
            continue
        best = length, new, new_value, new_gradient
        new_slope = float(new_gradient @ direction)
        if not math.isfinite(new_slope) or new_slope >= SUFFICIENT_CURVATURE * slope:
            break
        low = length
        length = 2 * length if high == math.inf else (low + high) / 2
    return best, cost


def _parabola(length, slope, change):
    """Where the parabola through both values and the slope is least."""
    bend = change - slope * length
    return -0.5 * slope * length**2 / bend if math.isfinite(bend) and bend > 0 else None


def _inside(low, high, guess):
    """The guess, kept off the ends of the bracket; their middle without one."""
    if guess is None:
        return (low + high) / 2
    return min(max(guess, low + 0.1 * (high - low)), high - 0.5 * (high - low))
