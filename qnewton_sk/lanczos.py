"""Block Lanczos with full orthogonalisation: extreme eigenvalues of a symmetric operator from its products."""

from typing import NamedTuple

import numpy as np


class Ritz(NamedTuple):
    """Ritz values of a symmetric operator, what is known of their error, and what they cost.

    `values` ascending; `low_residual` and `high_residual` bound the distance of the first and the last of
    them to some eigenvalue; `inverse_bound` is a lower bound of the norm of the operator's inverse;
    `products` counts operator times vector.
    """

    values: np.ndarray
    low_residual: float
    high_residual: float
    inverse_bound: float
    products: int

    @property
    def largest_magnitude(self):
        """Lower bound of the spectral norm, close to it once the iteration has converged."""
        return float(np.abs(self.values[[0, -1]]).max())


def block_lanczos(apply, n, *, block=4, max_steps=8, tol=0.0, seed=0, dtype=np.float64):
    """Project a symmetric operator on the block Krylov space of random vectors.

    Parameters
    ----------
    apply : callable
        ``apply(V) -> A V`` for V of shape (n, k) with k <= block.
    n : int
        Order of the operator.
    block : int, default=4
        Vectors a step; products with a few at once cost hardly more than with one.
    max_steps : int, default=8
        Block products at most.
    tol : float, default=0.0
        Stop once the largest magnitude has grown by less than this share for two steps in a row.
    seed : int, default=0
        Of the random start.
    dtype : dtype, default=numpy.float64
        Of the vectors.

    Returns
    -------
    Ritz
        With NaN values where a product was not finite.

    References
    ----------
    Golub, Van Loan, Matrix Computations, 4th ed., section 10.3.6.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.lanczos import block_lanczos
    >>> d = np.linspace(-3.0, 5.0, 200)
    >>> round(block_lanczos(lambda V: d[:, None] * V, 200, max_steps=20).largest_magnitude, 2)
    5.0
    """
    V = _start(n, min(block, n), seed, dtype)
    space, images, largest, calm = V, None, 0.0, 0
    for step in range(max_steps):
        AV = apply(V)
        if not np.isfinite(AV).all():
            return Ritz(np.full(1, np.nan), np.nan, np.nan, np.nan, space.shape[1])
        images = AV if images is None else np.hstack((images, AV))
        last = step == max_steps - 1 or space.shape[1] >= n
        if tol > 0 and not last:
            previous, largest = largest, _largest(space, images)
            calm = calm + 1 if largest - previous <= tol * largest else 0
            last = calm >= 2
        V = None if last else _next_block(space, AV, n)
        if V is None:
            break
        space = np.hstack((space, V))
    return _ritz(space, images)


def _start(n, block, seed, dtype):
    V = np.random.default_rng(seed).standard_normal((n, block)).astype(dtype)
    return np.linalg.qr(V)[0]


def _next_block(space, AV, n):
    """Orthonormal directions that A V adds to the space, or None where it adds none."""
    size = np.linalg.norm(AV)
    W = AV - space @ (space.T @ AV)
    W -= space @ (space.T @ W)
    W = W[:, : n - space.shape[1]]
    Q, R = np.linalg.qr(W)
    new = np.abs(R.diagonal()) > 100 * np.finfo(AV.dtype).eps * size
    if not new.any():
        return None
    Q = Q[:, new]
    Q -= space @ (space.T @ Q)
    return np.linalg.qr(Q)[0]


def _projection(space, images):
    T = space.T @ images
    return (T + T.T) / 2


def _largest(space, images):
    return float(np.abs(np.linalg.eigvalsh(_projection(space, images))[[0, -1]]).max())


def _ritz(space, images):
    values, vectors = np.linalg.eigh(_projection(space, images))
    ends = vectors[:, [0, -1]]
    residuals = np.linalg.norm(images @ ends - space @ (ends * values[[0, -1]]), axis=0)
    smallest = np.linalg.svd(np.linalg.qr(images, mode="r"), compute_uv=False)[-1]
    inverse = float(1 / smallest) if smallest > 0 else np.inf
    return Ritz(values.astype(float), float(residuals[0]), float(residuals[1]), inverse, space.shape[1])
