"""Conjugate gradients inside a trust region on a path that is kept, so that a smaller radius costs no product."""

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from qnewton_sk.systems import euclidean_norm, max_abs, power_of_two, scale_for

MAX_PATH_BYTES = 2**28
"""Memory for the vectors of a path; it limits the products if there are many unknowns."""


class Cut(NamedTuple):
    """The point at which the path was left.

    That is x, A x, and how it was left: "inside", "boundary", "negative", "limit" or "non_finite".
    """

    x: np.ndarray
    image: np.ndarray
    how: str


class KrylovPath:
    """The iterates of conjugate gradients for A x = b, grown on demand and cut at any radius.

    The norms of the iterates grow along the path, so that it leaves a ball once; inside the ball it
    descends on b.x - x.A x / 2 (Steihaug 1983, "The conjugate gradient method and trust regions in large
    scale optimization", theorem 2.1). A step that is retried with a smaller radius reuses all products.

    The path does not hold the matrix: it is kept in the cache of that matrix, and the two would form a cycle.
    Everything inside is divided by a power of two near the largest entry of b: that changes no digit, and keeps
    squares in the range of the dtype.

    Parameters
    ----------
    b : ndarray of shape (n,)
        Right-hand side.
    """

    def __init__(self, b):
        self.b, self.scale = b, power_of_two(max_abs(b), b.dtype)
        self.directions, self.images, self.lengths = [], [], []
        self.curvatures, self.ratios, self.norms = [], [], [0.0]
        self.residual = b / self.scale
        self.direction = self.residual.copy()
        self.x, self.image = np.zeros_like(b), np.zeros_like(b)
        self.rr = self.start = float(self.residual @ self.residual)

    @property
    def products(self):
        """Products that the path has taken so far."""
        return len(self.directions)

    def norm(self):
        """Return an estimate of ||A||_2 from below, the largest |Ritz value| of the path; None before the first one."""
        if not self.lengths:
            return None
        inverse = 1 / np.array(self.lengths)
        betas = np.array(self.ratios[: len(inverse) - 1])
        diagonal = inverse.copy()
        diagonal[1:] += betas * inverse[:-1]
        ritz = eigvalsh_tridiagonal(diagonal, np.sqrt(betas) * inverse[:-1]) if betas.size else diagonal
        return float(np.abs(ritz).max())

    def cut(self, product, radius, tol, max_products):
        """Return the `Cut` at ||x|| = radius, or at ||b - A x|| <= tol ||b||, or after the last product.

        Parameters
        ----------
        product : callable
            ``product(v) -> A v``, A symmetric; the same at every call.
        radius : float
            Length at which x is cut; inf for none.
        tol : float
            Relative residual to stop at.
        max_products : int
            Maximum number of products of this path, those of earlier calls included.
        """
        cut = self._cut(product, radius / self.scale, tol, max_products)
        return Cut(cut.x * self.scale, cut.image * self.scale, cut.how)

    def _cut(self, product, radius, tol, max_products):
        limit = min(max_products, max(1, MAX_PATH_BYTES // (2 * self.b.nbytes)))
        for k, norm in enumerate(self.norms[1:]):
            if math.inf > radius <= norm:
                return self._leave(k, radius, "boundary")
        while True:
            if self._ends_negative() and len(self.lengths) < len(self.directions):
                return self._leave(len(self.lengths), radius, "negative")
            if math.sqrt(self.rr) <= tol * math.sqrt(self.start):
                return Cut(self.x, self.image, "inside")
            if self.products >= limit:
                return Cut(self.x, self.image, "limit")
            if not self._grow(product):
                return Cut(self.x, self.image, "non_finite")
            if math.inf > radius <= self.norms[-1] and len(self.lengths) == len(self.directions):
                return self._leave(len(self.lengths) - 1, radius, "boundary")

    def _ends_negative(self):
        return bool(self.curvatures) and self.curvatures[-1] <= 0

    def _grow(self, product):
        """Take one product; a direction of negative curvature ends the path."""
        d = self.direction
        Ad = product(d)
        curvature = float(d @ Ad)
        if not math.isfinite(curvature):
            return False
        self.directions.append(d)
        self.images.append(Ad)
        self.curvatures.append(curvature)
        if curvature <= 0:
            return True
        step = self.rr / curvature
        self.lengths.append(step)
        self.x = self.x + step * d
        self.image = self.image + step * Ad
        self.residual = self.residual - step * Ad
        before, self.rr = self.rr, float(self.residual @ self.residual)
        self.norms.append(euclidean_norm(self.x))
        self.ratios.append(self.rr / before)
        self.direction = self.residual + self.ratios[-1] * d
        return True

    def _leave(self, k, radius, how):
        """The point at which direction k leaves the ball; the last iterate if there is no ball."""
        x, image = self._iterate(k)
        if math.isinf(radius):
            return Cut(x, image, how)
        step = _step_to_the_boundary(x, self.directions[k], radius)
        return Cut(x + step * self.directions[k], image + step * self.images[k], how)

    def _iterate(self, k):
        if k == len(self.lengths):
            return self.x, self.image
        x, image = np.zeros_like(self.b), np.zeros_like(self.b)
        for step, d, Ad in zip(self.lengths[:k], self.directions, self.images):
            x += step * d
            image += step * Ad
        return x, image


def kept_path(matrix, rhs):
    """Return the path of H x = rhs that a `SystemMatrix` keeps, whatever its shift; a new one for another rhs."""
    path = matrix.shared("krylov", lambda: KrylovPath(rhs))
    return path if path.b is rhs or np.array_equal(path.b, rhs) else KrylovPath(rhs)


def _step_to_the_boundary(x, d, radius):
    """The step t >= 0 with ||x + t d|| = radius."""
    if radius > 0 and scale_for(radius, x.size, x.dtype) != 1.0:  # in units of the radius and of d
        size = euclidean_norm(d)
        return _step_to_the_boundary(x / radius, d / size, 1.0) * (radius / size)
    xd, dd, gap = float(x @ d), float(d @ d), max(radius * radius - float(x @ x), 0.0)
    return gap / (xd + math.sqrt(xd * xd + dd * gap)) if gap else 0.0
