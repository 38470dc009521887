"""The trust-region step of an indefinite matrix, exactly: a shift such that the damped solution ends on the boundary.

min b.x-model: x minimises x.H x / 2 - b.x over ||x|| <= R exactly where (H + s I) x = b with H + s I positive
semidefinite, s >= 0 and s (R - ||x||) = 0 (More and Sorensen 1983, "Computing a trust region step"). The shift is
the root of 1 / ||x(s)|| - 1 / R, which is nearly linear in s: two or three Cholesky factorisations find it.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg.lapack import get_lapack_funcs
from sklearn.base import BaseEstimator

from .factorisations import NON_FINITE, cholesky_factor, cholesky_solve
from .solvers import failure
from .system import Solution, SolveStatus, symmetric_product

NEAR = 0.25
"""A step whose length differs from the radius by less than this share will do: the radius is a guess itself
(More and Sorensen take 0.1, MINPACK's Levenberg-Marquardt too)."""

MOST_FACTORISATIONS = 12
"""After so many the best point is taken as it is."""

INVERSE_ITERATIONS = 2
"""Inverse iterations for the lowest eigenvector, each two triangular solves."""

HARD = 1e-6
"""Width of the bracket, relative to its upper end, at which the solution has no part along the lowest eigenvector."""


@dataclass
class Secular:
    """What is known of ||x(s)|| for one matrix and one right-hand side; kept for a retry with another radius.

    `indefinite` is the largest shift at which the matrix is known not to be positive definite, -inf before one
    was met; `points` are (shift, ||x||, ||x|| / |d||x||/ds|) of the factorisations so far.
    """

    b: np.ndarray
    indefinite: float = -math.inf
    points: list = field(default_factory=list)

    def bracket(self, radius):
        """Return shifts below and above the one that gives `radius`."""
        too_long = [shift for shift, length, _ in self.points if length > radius]
        too_short = [shift for shift, length, _ in self.points if length <= radius]
        return max([self.indefinite, *too_long]), min(too_short, default=math.inf)

    def guess(self, radius, default):
        """Return the next shift to try for `radius`."""
        low, high = self.bracket(radius)
        if self.points:
            # Newton's method on 1 / ||x(s)||, from the point whose length is nearest
            shift, length, scale = min(self.points, key=lambda point: abs(math.log(point[1] / radius)))
            guess = shift + scale * (length - radius) / radius
        else:
            guess = default
        if guess <= 0.0 and low < 0.0:
            return 0.0
        if low < guess < high:
            return guess
        if high == math.inf:
            return max(4.0 * low, default)
        low = max(low, 0.0)
        return max(math.sqrt(low * high), low + 0.01 * (high - low))


class MoreSorensen(BaseEstimator):
    """The exact trust-region step by Cholesky factorisations, for a matrix that need not be definite.

    Takes systems with a radius, whose shift it leaves out; `info` has the "shift" that the solution belongs
    to and the number of "factorisations".

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.more_sorensen import MoreSorensen
    >>> from qnewton_sk.prepare import prepare
    >>> from qnewton_sk.system import SystemMatrix
    >>> H = SystemMatrix.from_entries(np.diag([-1.0, 2.0]))
    >>> solution = MoreSorensen().solve(prepare(H, np.array([1.0, 1.0]), tol=1e-8, shift=0.0, radius=1.0))
    >>> bool(solution.info["shift"] > 1.0)  # more than the negative eigenvalue
    True
    """

    steps = "exact"  # what they are inside a radius

    def refusal(self, facts):
        """Refuse a system whose step has no radius."""
        return "there is no radius that bounds the step" if facts.radius is None else None

    def solve(self, system):
        """Return the `Solution` of a `LinearSystem`."""
        H, b, radius = system.matrix.shifted(0.0), system.rhs, system.facts.radius
        size = math.sqrt(b @ b)
        scale = float(np.abs(H.entries().diagonal()).max())
        if not (math.isfinite(size) and math.isfinite(scale)):
            return failure(system, SolveStatus.NON_FINITE)
        secular = H.shared("secular", lambda: Secular(b))
        if secular.b is not b and not np.array_equal(secular.b, b):
            secular = Secular(b)
        default = max(system.matrix.shift, 1e-3 * scale, np.finfo(b.dtype).tiny)
        best, taken, shift = None, 0, secular.guess(radius, system.matrix.shift)
        while taken < MOST_FACTORISATIONS:
            taken += 1
            payload = cholesky_factor(H.shifted(shift))
            if payload[-1] == NON_FINITE:
                return failure(system, SolveStatus.NON_FINITE)
            x = cholesky_solve(payload, b) if payload[-1] == 0 else None
            length = math.inf if x is None else math.sqrt(x @ x)
            if not math.isfinite(length):
                secular.indefinite = max(secular.indefinite, shift)
            elif length <= radius * (1 + NEAR) and shift * length <= system.tol * size:
                return _solution(
                    system, H, x, 0.0, taken
                )  # it solves the undamped system as well as was asked
            elif abs(length - radius) <= NEAR * radius:
                return _solution(system, H, x, shift, taken)
            else:
                if length < radius:
                    x, near = _along_lowest(x, radius, shift, payload, secular, H)
                    if near:
                        return _solution(system, H, x, shift, taken)
                secular.points.append((shift, length, _scale(payload, x, length)))
                if best is None or abs(math.log(length / radius)) < abs(math.log(best[1] / radius)):
                    best = x, length, shift, payload
            low, high = secular.bracket(radius)
            if high - max(low, 0.0) <= HARD * high < math.inf:
                break  # no shift is long enough
            shift = secular.guess(radius, default)
        if best is None:
            return failure(system, SolveStatus.NOT_POSITIVE_DEFINITE, factorisations=taken)
        x, length, shift, payload = best
        return _solution(system, H, x * min(1.0, radius / length), shift, taken)


def _scale(payload, x, length):
    """Return ||x|| / |d||x||/ds|, which is ||x||^2 / ||L^-1 x||^2."""
    c = payload[0]
    q = get_lapack_funcs("trtrs", (c, x))(c, x, lower=1)[0]
    return length * length / float(q @ q)


def _along_lowest(x, radius, shift, payload, secular, H):
    """Carry a short x on to the boundary along the lowest eigenvector; return the point and whether it will do.

    A step may be short because the right-hand side has little of that vector in it: then no shift gives the radius, or
    one so close to singular that it takes many factorisations. The point is within the tolerance of the
    minimum where the carried part adds little to the damped model (More and Sorensen, lemma 3.4).
    """
    z = np.cos(np.arange(1.0, len(x) + 1)).astype(x.dtype)
    for _ in range(INVERSE_ITERATIONS):
        z = cholesky_solve(payload, z / math.sqrt(z @ z))
    z /= math.sqrt(z @ z)
    bend = float(z @ H.product(z))
    if not bend < 0:
        return x, False
    secular.indefinite = max(secular.indefinite, -bend)
    xz, gap = float(x @ z), radius**2 - float(x @ x)
    root = math.sqrt(xz * xz + gap)
    carried = gap / (xz + root) if xz > 0 else gap / (xz - root)  # the smaller root, without cancellation
    damped = float(secular.b @ x) + shift * radius**2
    if carried**2 * max(bend + shift, 0.0) > NEAR * (2 - NEAR) * damped:
        return x, False
    return x + carried * z, True


def _solution(system, H, x, shift, taken):
    Hx = symmetric_product(H.entries(), x)
    residual = Hx + shift * x - system.rhs
    size = math.sqrt(system.rhs @ system.rhs)
    relative = math.sqrt(residual @ residual) / size if size else 0.0
    info = {"shift": shift, "factorisations": taken}
    if not math.isfinite(relative):
        return failure(system, SolveStatus.NON_FINITE, **info)
    return Solution(x, SolveStatus.SUCCESS, relative, info, Hx + system.matrix.shift * x)
