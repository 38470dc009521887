"""Exact trust-region steps: the shift at which the damped solution ends on the boundary.

x minimises x.H x / 2 - b.x over ||x|| <= R exactly where (H + s I) x = b with H + s I positive semidefinite,
s >= 0 and s (R - ||x||) = 0 (More and Sorensen 1983, "Computing a trust region step"). The shift is the root of
1 / ||x(s)|| - 1 / R, which is nearly linear in s: two or three Cholesky factorisations find it.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from qnewton_sk.machine import FLOPS, REFERENCE_RATES
from qnewton_sk.systems import (
    Solver,
    SolveStatus,
    euclidean_norm,
    failure,
    solution_of,
    symmetric_product,
)

from .dense import FactorisationCost, FactorisationSeconds, no_room

RADIUS_TOLERANCE = 0.25
"""Relative difference between the length of a step and the radius that is accepted: the radius is a guess itself
(More and Sorensen take 0.1, MINPACK's Levenberg-Marquardt too)."""

MAX_FACTORISATIONS = 12
"""Maximum number of factorisations; the best point so far is then taken."""

INVERSE_ITERATIONS = 2
"""Inverse iterations for the lowest eigenvector; each takes two triangular solves."""

HARD_CASE_WIDTH = 1e-6
"""Relative width of the bracket of the shift at which the case is hard: the solution has no part along the lowest
eigenvector, so that no shift gives the radius."""


@dataclass
class Secular:
    """Facts about ||x(s)|| for one matrix and one right-hand side, kept for a retry with another radius.

    `indefinite` is the largest shift at which the matrix is known not to be positive definite, or -inf; `points`
    are (shift, ||x||, ||x|| / |d||x||/ds|) of the factorisations so far.
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
            shift, length, scale = min(self.points, key=lambda point: _distance(point[1], radius))
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


class MoreSorensen(Solver):
    """The exact trust-region step by Cholesky factorisations, for a matrix that need not be definite.

    It takes systems with a radius and leaves their shift out; the `shift` of the solution is the one to which
    it belongs. A solution that was carried along a direction to the boundary is `cut_at_radius`. `info` has the
    number of "factorisations".

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.solvers.trust_region import MoreSorensen
    >>> from qnewton_sk.conditioning.prepare import prepare
    >>> from qnewton_sk.systems.system_matrix import SystemMatrix
    >>> H = SystemMatrix.from_entries(np.diag([-1.0, 2.0]))
    >>> solution = MoreSorensen().solve(prepare(H, np.array([1.0, 1.0]), tol=1e-8, shift=0.0, radius=1.0))
    >>> bool(solution.shift > 1.0)  # more than the negative eigenvalue
    True
    """

    bounds_by = "radius"

    def rejection_reason(self, facts):
        """Refuse a system whose step has no radius."""
        return "there is no radius that bounds the step" if facts.radius is None else no_room(facts)

    def solve(self, system):
        """Return the `Solution` of a `LinearSystem`."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            return _Search(system).run()


class _Search:
    """The search for the shift of one system, one factorisation after another."""

    def __init__(self, system):
        self.system, self.radius = system, system.facts.radius
        self.H, self.b = system.matrix.shifted(0.0), system.rhs
        self.size = euclidean_norm(self.b)
        self.secular = self.H.shared("secular", lambda: Secular(self.b))
        if self.secular.b is not self.b and not np.array_equal(self.secular.b, self.b):
            self.secular = Secular(self.b)
        self.taken, self.best = 0, None

    def run(self):
        """Return the `Solution`."""
        diagonal = self.H.entries().diagonal()
        scale, lowest = float(np.abs(diagonal).max()), float(diagonal.min())
        if not (math.isfinite(self.size) and math.isfinite(scale)):
            return failure(self.system, SolveStatus.NON_FINITE)
        if lowest <= 0.0:  # no smaller shift makes the diagonal positive
            self.secular.indefinite = max(self.secular.indefinite, -lowest)
        # the damping of earlier steps may be far above the largest shift that can be right, ||b|| / R + ||H||
        largest = self.size / self.radius + self.H.one_norm()
        hint = min(self.system.matrix.shift, largest)
        default = max(hint, 1e-3 * min(largest, np.finfo(float).max), np.finfo(float).tiny)
        shift = self.secular.guess(self.radius, hint)
        while self.taken < MAX_FACTORISATIONS:
            solution = self._try(shift)
            if solution is not None:
                return solution
            low, high = self.secular.bracket(self.radius)
            if high - max(low, 0.0) <= HARD_CASE_WIDTH * high < math.inf:
                break  # no shift is long enough
            shift = self.secular.guess(self.radius, default)
        if self.best is None:
            return failure(self.system, SolveStatus.NOT_POSITIVE_DEFINITE, factorisations=self.taken)
        x, length, shift = self.best
        return self._solution(x * min(1.0, self.radius / length), shift, carried=True)

    def _try(self, shift):
        """Factorise at a shift; return the solution if it is accepted, else note what was learned."""
        self.taken += 1
        cholesky = self.H.shifted(shift).factorisation("cholesky")
        if cholesky.status is SolveStatus.NON_FINITE:
            return failure(self.system, SolveStatus.NON_FINITE)
        x = cholesky.solve(self.b) if cholesky.status is SolveStatus.SUCCESS else None
        length = math.inf if x is None else euclidean_norm(x.astype(float, copy=False))
        if not math.isfinite(length):
            self.secular.indefinite = max(self.secular.indefinite, shift)
            return None
        if length <= self.radius * (1 + RADIUS_TOLERANCE) and shift * length <= self.system.tol * self.size:
            return self._solution(x, 0.0)  # it solves the undamped system to the tolerance
        if abs(length - self.radius) <= RADIUS_TOLERANCE * self.radius:
            return self._solution(x, shift)
        if length < self.radius:
            x, near = _along_lowest(x, self.radius, shift, cholesky, self.secular, self.H)
            if near:
                return self._solution(x, shift, carried=True)
        self.secular.points.append((shift, length, _scale(cholesky, x, length)))
        if self.best is None or _distance(length, self.radius) < _distance(self.best[1], self.radius):
            self.best = x, length, shift
        return None

    def _solution(self, x, shift, carried=False):
        Hx = symmetric_product(self.H.entries(), x)
        return solution_of(
            self.system,
            x,
            image=Hx + self.system.matrix.shift * x,
            residual=Hx + shift * x - self.b,
            shift=shift,
            cut_at_radius=carried,
            factorisations=self.taken,
        )


def _distance(length, radius):
    """|ln(length / radius)|; the ratio itself may underflow."""
    return abs(math.log(length) - math.log(radius)) if length > 0 else math.inf


def _scale(cholesky, x, length):
    """Return ||x|| / |d||x||/ds|, which is ||x||^2 / ||L^-1 x||^2."""
    q = cholesky.half_solve(x).astype(float)  # its square may underflow
    return length * (length / max(float(q @ q), np.finfo(float).tiny))


def _along_lowest(x, radius, shift, cholesky, secular, H):
    """Carry a short x on to the boundary along the lowest eigenvector; return the point and whether it is accepted.

    A step may be short because the right-hand side has little of that vector in it. Then no shift gives the
    radius, or only one so close to singular that it takes many factorisations. The point is within the tolerance
    of the minimum if the carried part adds little to the damped model (More and Sorensen, lemma 3.4).
    """
    z = np.cos(np.arange(1.0, len(x) + 1)).astype(x.dtype)
    for _ in range(INVERSE_ITERATIONS):
        z = cholesky.solve(z)
        largest = np.abs(z).max()
        if not 0 < largest < math.inf:
            return x, False
        z /= largest  # before its square, which may underflow
    z /= math.sqrt(z @ z)
    curvature = float(z @ H.product(z))
    if not curvature < 0:
        return x, False
    secular.indefinite = max(secular.indefinite, -curvature)
    far, z = x.astype(float), z.astype(float)  # squares in single precision may overflow
    xz, square = float(far @ z), radius * radius
    gap = square - float(far @ far)
    root = math.sqrt(xz * xz + gap) if 0 < gap < math.inf else 0.0
    if not 0 < root < math.inf:
        return x, False
    carried = gap / (xz + root) if xz > 0 else gap / (xz - root)  # the smaller root, without cancellation
    damped = float(secular.b @ x) + shift * square
    if carried * carried * max(curvature + shift, 0.0) > RADIUS_TOLERANCE * (2 - RADIUS_TOLERANCE) * damped:
        return x, False
    return (far + carried * z).astype(x.dtype), True


SECULAR_FACTORISATIONS = 2.5
"""Factorisations of an exact trust-region step: 2.2 on average over random indefinite matrices, and more if the
shift of the previous step is a poor guess."""


class MoreSorensenCost(FactorisationCost):
    """The cost of some Cholesky factorisations, N^3 / 3 each, and of the assembly that is still to be done."""

    def __init__(self, rates=None):
        self.rates = rates

    def source(self):
        """Return where the formula comes from."""
        return "More and Sorensen (1983), section 5"

    def seconds(self, facts):
        """Return the `FactorisationSeconds` of one exact trust-region step."""
        rates = self.rates or REFERENCE_RATES
        factorise = SECULAR_FACTORISATIONS * FLOPS["cholesky"] * facts.n**3
        moved = 3 * SECULAR_FACTORISATIONS * facts.itemsize * facts.n**2
        return FactorisationSeconds(
            assembly=rates.seconds("gemm", facts.assembly_flops, facts.n),
            factorisation=rates.seconds("cholesky", factorise, facts.n),
            substitution=moved / rates.bytes_per_second,
            calls=SECULAR_FACTORISATIONS * rates.call_seconds,
        )
