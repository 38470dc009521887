"""Block Lanczos with full orthogonalisation: extreme eigenvalues of a symmetric operator."""

from typing import NamedTuple

import numpy as np

from qnewton_sk.systems import scale_of


def working_dtype(dtype):
    """Return float32 for float32 and float64 for everything else."""
    return np.float32 if dtype == np.float32 else np.float64


class Ritz(NamedTuple):
    """Ritz values of a symmetric operator and what they cost.

    `values` are ascending; `inverse_bound` is a lower bound of the norm of the operator's inverse; `products`
    counts the products of the operator with a vector.
    """

    values: np.ndarray
    inverse_bound: float
    products: int

    @property
    def largest_magnitude(self):
        """Lower bound of the spectral norm, close to it once the iteration has converged."""
        return float(np.abs(self.values[[0, -1]]).max())


def block_lanczos(
    apply,
    n,
    *,
    block=4,
    max_steps=8,
    tol=0.0,
    patience=2,
    both_ends=False,
    start=None,
    seed=0,
    dtype=np.float64,
):
    """Project a symmetric operator on the block Krylov space of random vectors.

    Parameters
    ----------
    apply : callable
        ``apply(V) -> A V`` for V of shape (n, k) with k <= block.
    n : int
        Order of the operator.
    block : int, default=4
        Vectors per step; products with a few at once cost hardly more than with one.
    max_steps : int, default=8
        Maximum number of block products.
    tol : float, default=0.0
        Stop once the largest magnitude has grown by no more than this share; 0 takes all steps.
    patience : int, default=2
        Number of such steps in a row.
    both_ends : bool, default=False
        Watch the range of the eigenvalues in place of the largest magnitude.
    start : ndarray of shape (n, block), default=None
        First vectors; by default random.
    seed : int, default=0
        Seed of the random start.
    dtype : dtype, default=numpy.float64
        Type of the vectors.

    Returns
    -------
    Ritz
        Its values are NaN if a product was not finite.

    References
    ----------
    Golub, Van Loan, Matrix Computations, 4th ed., section 10.3.6.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.lanczos import block_lanczos
    >>> d = np.linspace(-3.0, 5.0, 200)
    >>> round(block_lanczos(lambda V: d[:, None] * V, 200, max_steps=20).largest_magnitude, 2)
    5.0
    """
    V = _start(n, min(block, n), seed, dtype) if start is None else _qr(start.astype(dtype))[0]
    found = _iterate(apply, V, min(n, block * max_steps), tol, patience, both_ends)
    if found.T is None:
        return Ritz(np.full(1, np.nan), np.nan, found.products)
    return _ritz(found)


def quadrature(apply, start, steps):
    """Return nodes and weights of the Gauss quadrature of the spectrum as seen from one vector.

    For every polynomial p up to degree 2 steps - 1, start^T p(A) start / start^T start = sum(weights *
    p(nodes)).

    Parameters
    ----------
    apply : callable
        ``apply(V) -> A V`` for V of shape (n, 1).
    start : ndarray of shape (n,)
        The vector.
    steps : int
        Lanczos steps, one product each.

    Returns
    -------
    (nodes, weights)
        Each of shape (m,) with m <= steps, or (None, None) if a product was not finite.

    References
    ----------
    Golub, Meurant (2010), Matrices, Moments and Quadrature, chapter 6.
    """
    V = (start / np.linalg.norm(start))[:, None]
    found = _iterate(apply, V, min(start.size, steps))
    if found.T is None:
        return None, None
    nodes, vectors = np.linalg.eigh(found.T)
    return nodes * found.scale, vectors[0] ** 2


class _Projection(NamedTuple):
    """The projection T of the operator / scale on a Krylov space, None if a product was not finite.

    `W` is what the last step left outside of the space. The scale is a power of two that brings squares into
    the range of the dtype.
    """

    T: np.ndarray | None
    W: np.ndarray | None
    scale: float
    products: int


def _iterate(apply, V, limit, tol=0.0, patience=1, both_ends=False):
    """Return the `_Projection` of the operator on at most `limit` vectors."""
    basis = np.empty((V.shape[0], limit), dtype=V.dtype, order="F")
    T = np.zeros((limit, limit))
    width, largest, calm, scale = 0, 0.0, 0, 1.0
    while True:
        with np.errstate(invalid="ignore", over="ignore"):
            AV = apply(V)
        if not np.isfinite(AV).all():
            return _Projection(None, None, scale, width + V.shape[1])
        scale = scale if width else scale_of(AV)
        AV = AV / scale if scale != 1.0 else AV
        new = slice(width, width + V.shape[1])
        basis[:, new], width = V, new.stop
        space = basis[:, :width]
        coefficients, W = _orthogonalise(AV, space)
        T[:width, new], T[new, :width] = coefficients, coefficients.T
        if tol > 0:
            low, high = np.linalg.eigvalsh(T[:width, :width])[[0, -1]]
            previous, largest = largest, high - low if both_ends else max(high, -low)
            calm = calm + 1 if largest - previous <= tol * largest else 0
        done = width == limit or (tol > 0 and calm >= patience)
        V = None if done else _directions(W, limit - width, space, AV)
        if V is None:
            return _Projection(T[:width, :width], W, scale, width)


def _start(n, block, seed, dtype):
    return _qr(np.random.default_rng(seed).standard_normal((n, block)).astype(dtype))[0]


def _qr(W):
    if W.shape[1] > 1:
        return np.linalg.qr(W)
    size = np.linalg.norm(W)
    return (W / size if size > 0 else W), np.full((1, 1), size)


def _orthogonalise(AV, space):
    """Coefficients of A V in the space, and the rest; computed twice, since once loses digits (Kahan, Parlett)."""
    first = space.T @ AV
    W = AV - space @ first
    second = space.T @ W
    W -= space @ second
    return first + second, W


def _directions(W, room, space, AV):
    """At most `room` orthonormal directions that W adds to the space, or None if it adds none."""
    Q, R = _qr(W)
    size = 100 * np.finfo(W.dtype).eps * np.sqrt(W.shape[0]) * np.abs(AV).max()
    new = np.flatnonzero(np.abs(R.diagonal()) > size)[:room]
    if new.size == 0:
        return None
    if new.size == Q.shape[1] and np.abs(R.diagonal()).min() > 1e3 * size:
        return Q
    Q = Q[:, new]
    return _qr(Q - space @ (space.T @ Q))[0]


def _ritz(found):
    T, W = found.T, found.W
    last = W.shape[1]
    extended = np.zeros((T.shape[0] + last, T.shape[0]))
    extended[: T.shape[0]], extended[T.shape[0] :, -last:] = T, _qr(W)[1]
    smallest = np.linalg.svd(extended, compute_uv=False)[-1]
    with np.errstate(over="ignore"):  # the inverse of a denormal number is inf
        inverse = float(1 / smallest / found.scale) if smallest > 0 else np.inf
        values = np.linalg.eigh(T)[0] * found.scale
    return Ritz(values, inverse, found.products)


def projection(apply, n, steps, seed=0, dtype=np.float64):
    """Return Ritz values, their weights as seen from a random vector, and a bound of the smallest magnitude.

    Parameters
    ----------
    apply : callable
        ``apply(V) -> A V`` for V of shape (n, 1).
    n : int
        Order of the symmetric operator A.
    steps : int
        Number of Lanczos steps, one product each.
    seed : int, default=0
        For the random start.
    dtype : dtype, default=numpy.float64
        Of the vectors.

    Returns
    -------
    tuple or None
        Values (ascending) and weights, each of shape (at most steps,), and an upper bound of the smallest absolute
        eigenvalue: the minimum of ||A v|| / ||v|| over the Krylov space. None if a product was not finite.
    """
    found = _iterate(apply, _start(n, 1, seed, dtype), min(n, steps))
    if found.T is None:
        return None
    values, vectors = np.linalg.eigh(found.T)
    extended = np.vstack([found.T, np.zeros((1, found.T.shape[1]))])
    extended[-1, -1] = np.linalg.norm(found.W)
    smallest = float(np.linalg.svd(extended, compute_uv=False)[-1])
    return values * found.scale, vectors[0] ** 2, smallest * found.scale
