"""Block Lanczos with full orthogonalisation: extreme eigenvalues of a symmetric operator."""

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


def block_lanczos(apply, n, *, block=4, max_steps=8, tol=0.0, patience=2, seed=0, dtype=np.float64):
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
        Stop once the largest magnitude has grown by no more than this share; 0 for all steps.
    patience : int, default=2
        For so many steps in a row.
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
    basis = np.empty((n, min(n, block * max_steps)), dtype=dtype, order="F")
    T = np.zeros((basis.shape[1],) * 2)
    width, largest, calm = 0, 0.0, 0
    while True:
        AV = apply(V)
        if not np.isfinite(AV).all():
            return Ritz(np.full(1, np.nan), np.nan, np.nan, np.nan, width + V.shape[1])
        new = slice(width, width + V.shape[1])
        basis[:, new], width = V, new.stop
        space = basis[:, :width]
        coefficients, W = _orthogonalise(AV, space)
        T[:width, new], T[new, :width] = coefficients, coefficients.T
        if width == basis.shape[1]:
            break
        if tol > 0:
            previous, largest = largest, float(np.abs(np.linalg.eigvalsh(T[:width, :width])[[0, -1]]).max())
            calm = calm + 1 if largest - previous <= tol * largest else 0
            if calm >= patience:
                break
        V = _directions(W, basis.shape[1] - width, space, np.abs(AV).max())
        if V is None:
            break
    return _ritz(T[:width, :width], W)


def _start(n, block, seed, dtype):
    return _qr(np.random.default_rng(seed).standard_normal((n, block)).astype(dtype))[0]


def _qr(W):
    if W.shape[1] > 1:
        return np.linalg.qr(W)
    size = np.linalg.norm(W)
    return (W / size if size > 0 else W), np.full((1, 1), size)


def _orthogonalise(AV, space):
    """Coefficients of A V in the space, and what is left; twice, as once loses digits (Kahan, Parlett)."""
    first = space.T @ AV
    W = AV - space @ first
    second = space.T @ W
    W -= space @ second
    return first + second, W


def _directions(W, room, space, size):
    """At most `room` orthonormal directions that W adds to the space, or None where it adds none."""
    Q, R = _qr(W)
    size *= 100 * np.finfo(W.dtype).eps * np.sqrt(W.shape[0])
    new = np.flatnonzero(np.abs(R.diagonal()) > size)[:room]
    if new.size == 0:
        return None
    if new.size == Q.shape[1] and np.abs(R.diagonal()).min() > 1e3 * size:
        return Q
    Q = Q[:, new]
    return _qr(Q - space @ (space.T @ Q))[0]


def _ritz(T, W):
    values, vectors = np.linalg.eigh(T)
    last = W.shape[1]
    residuals = np.linalg.norm(W @ vectors[-last:, [0, -1]].astype(W.dtype), axis=0)
    extended = np.zeros((T.shape[0] + last, T.shape[0]))
    extended[: T.shape[0]], extended[T.shape[0] :, -last:] = T, _qr(W)[1]
    smallest = np.linalg.svd(extended, compute_uv=False)[-1]
    inverse = float(1 / smallest) if smallest > 0 else np.inf
    return Ritz(values, float(residuals[0]), float(residuals[1]), inverse, T.shape[0])
