"""The spectrum of a matrix: extremes, signs, density, trace and effective rank, from entries or from products."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

from qnewton_sk.systems import Inertia, SolveStatus, SystemMatrix, checked_symmetric, scale_of

from .lanczos import block_lanczos, quadrature, working_dtype


class TraceEstimate(NamedTuple):
    """A trace and the standard error of its estimate, which is 0 if it was read off the diagonal."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class SpectralDensity:
    """Eigenvalue density as weighted nodes; `weights` add up to 1, `n` is the order of the matrix.

    Parameters
    ----------
    nodes : ndarray of shape (m,)
        Ritz values, ascending.
    weights : ndarray of shape (m,)
        Share of the eigenvalues that each stands for.
    n : int
        Order of the matrix.
    """

    nodes: np.ndarray
    weights: np.ndarray
    n: int

    def on(self, grid, width=None):
        """Return the density on `grid`, every node smoothed to a Gaussian of standard deviation `width`.

        By default a hundredth of the range of the nodes.
        """
        grid = np.asarray(grid, dtype=float)
        width = width or max(float(np.ptp(self.nodes)) / 100, np.finfo(float).tiny)
        bells = np.exp(-0.5 * ((grid[:, None] - self.nodes) / width) ** 2)
        return bells @ self.weights / (width * np.sqrt(2 * np.pi))

    def count_below(self, value=0.0):
        """Return the estimated number of eigenvalues below `value`, a float."""
        return float(self.n * self.weights[self.nodes < value].sum())

    def moment(self, power):
        """Return the estimated mean of the eigenvalues' powers."""
        return float(self.weights @ self.nodes**power)


def extreme_eigenvalues(H, tol=1e-3, max_steps=100):
    """Return estimates of the smallest and the largest eigenvalue by Lanczos, which only takes products.

    Parameters
    ----------
    H : ndarray, scipy.sparse array or SystemMatrix of order n
        Symmetric.
    tol : float, default=1e-3
        Stop once three block steps in a row widen the range by no more than this share.
    max_steps : int, default=100
        Maximum number of block steps, each of 4 products.

    Returns
    -------
    (low, high) : tuple of float
        Both inside the spectrum; NaN if the matrix is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.spectrum import extreme_eigenvalues
    >>> low, high = extreme_eigenvalues(np.diag([-1.0, 2.0, 3.0]))
    >>> round(low, 6), round(high, 6)
    (-1.0, 3.0)
    """
    matrix = _system_matrix(H)
    ritz = block_lanczos(
        matrix.block_product(),
        matrix.n,
        block=4,
        tol=tol,
        patience=3,
        both_ends=True,
        max_steps=max_steps,
        dtype=working_dtype(matrix.dtype),
    )
    return float(ritz.values[0]), float(ritz.values[-1])


def inertia(H):
    """Return the exact numbers of negative, zero and positive eigenvalues from L D L^T, 1/3 n^3 flops.

    Exact for a matrix within rounding of H; an eigenvalue below rounding may count either way.

    Parameters
    ----------
    H : ndarray, scipy.sparse array or SystemMatrix of order n
        Symmetric; a `SystemMatrix` keeps the factorisation.

    Returns
    -------
    Inertia
        Named tuple (negative, zero, positive).

    Raises
    ------
    ValueError
        If the matrix is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.spectrum import inertia
    >>> inertia(np.array([[0.0, 1.0], [1.0, 0.0]]))
    Inertia(negative=1, zero=0, positive=1)
    """
    factorisation = _rescaled(H)[0].factorisation("ldl")
    if factorisation.status is SolveStatus.NON_FINITE:
        raise ValueError("`H` must be finite; got NaN or inf among its entries")
    return factorisation.inertia()


def trace(H, n_vectors=16, seed=0):
    """Return the trace: exact from entries, else Hutchinson's estimate from `n_vectors` products.

    Parameters
    ----------
    H : ndarray, scipy.sparse array or SystemMatrix of order n
        Symmetric; a `SystemMatrix` that is not assembled stays so.
    n_vectors : int, default=16
        Number of random sign vectors, at least two.
    seed : int, default=0
        Seed of the vectors.

    Returns
    -------
    TraceEstimate
        Named tuple (value, standard_error).

    References
    ----------
    Hutchinson (1990), Communications in Statistics - Simulation and Computation 19(2).
    """
    matrix = _system_matrix(H)
    if matrix.assembled:
        return TraceEstimate(matrix.trace(), 0.0)
    samples = [v @ matrix.product(v) for v in _signs(matrix, n_vectors, seed)]
    return TraceEstimate(float(np.mean(samples)), float(np.std(samples, ddof=1) / np.sqrt(n_vectors)))


def effective_rank(H, n_vectors=16, seed=0):
    """Return the stable rank ||H||_F^2 / ||H||_2^2: how many directions carry the curvature.

    From 1 (rank one) to n (all eigenvalues of one magnitude). The Frobenius norm is exact from entries, else
    the mean of ||H v||^2 over random signs.

    Parameters
    ----------
    H : ndarray, scipy.sparse array or SystemMatrix of order n
        Symmetric; a `SystemMatrix` that is not assembled stays so.
    n_vectors : int, default=16
        Number of random sign vectors if there are no entries.
    seed : int, default=0
        Seed of the vectors.

    Returns
    -------
    float
        0 for the zero matrix.

    References
    ----------
    Rudelson, Vershynin (2007), Sampling from large matrices, Journal of the ACM 54(4).

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.spectrum import effective_rank
    >>> round(effective_rank(np.diag([2.0, -2.0, 0.0])), 6)
    2.0
    """
    matrix = _system_matrix(H)
    norm = max(map(abs, extreme_eigenvalues(matrix)))
    if norm == 0:
        return 0.0
    if matrix.assembled:
        return (matrix.frobenius_norm() / norm) ** 2
    images = [matrix.product(v) / norm for v in _signs(matrix, n_vectors, seed)]
    return float(np.mean([image @ image for image in images]))


def spectral_density(H, n_vectors=8, steps=48, seed=0):
    """Return the density of the eigenvalues by stochastic Lanczos quadrature, which only takes products.

    Parameters
    ----------
    H : ndarray, scipy.sparse array or SystemMatrix of order n
        Symmetric; a `SystemMatrix` that is not assembled stays so.
    n_vectors : int, default=8
        Number of random starts; the error falls with the square root of n times their number.
    steps : int, default=48
        Products per start.
    seed : int, default=0
        Seed of the starts.

    Returns
    -------
    SpectralDensity

    Raises
    ------
    ValueError
        If the matrix is not finite.

    References
    ----------
    Ubaru, Chen, Saad (2017), Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, SIAM J. Matrix
    Anal. Appl. 38(4); Ghorbani, Krishnan, Xiao (2019), An investigation into neural net optimization via
    Hessian eigenvalue density, ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.spectrum import spectral_density
    >>> density = spectral_density(np.diag(np.linspace(-1.0, 3.0, 200)))
    >>> abs(density.count_below(0.0) - 50) < 10
    True
    """
    matrix = _system_matrix(H)
    parts = [quadrature(matrix.block_product(), v, steps) for v in _signs(matrix, n_vectors, seed)]
    if any(nodes is None for nodes, _ in parts):
        raise ValueError("`H` must be finite; got NaN or inf in a product with it")
    nodes, weights = (np.concatenate(column) for column in zip(*parts))
    order = np.argsort(nodes)
    return SpectralDensity(nodes[order], weights[order] / n_vectors, matrix.n)


def spectrum_table(H, parts=None, *, n_vectors=8, steps=48):
    """Return one row of figures for the whole matrix and one per diagonal block.

    Parameters
    ----------
    H : ndarray, scipy.sparse array or SystemMatrix of order n
        Symmetric; a `SystemMatrix` that is not assembled stays so.
    parts : mapping of str to slice, default=None
        Diagonal blocks, such as the layers.
    n_vectors, steps : int
        See `spectral_density`; used if there are no entries.

    Returns
    -------
    dict of str to list
        Columns part, n, smallest, largest, negative, trace, effective_rank; `pandas.DataFrame` takes it.
        `negative` is exact if there are entries, and estimated from the density otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.spectrum import spectrum_table
    >>> table = spectrum_table(np.diag([3.0, -1.0, 2.0]), {"first": slice(0, 1), "rest": slice(1, 3)})
    >>> table["part"], table["negative"]
    (['whole', 'first', 'rest'], [1, 0, 1])
    """
    matrix, scale = _rescaled(H)
    blocks = {"whole": matrix} | {name: block_of(matrix, part) for name, part in (parts or {}).items()}
    rows = [{"part": name} | _figures(block, scale, n_vectors, steps) for name, block in blocks.items()]
    return {column: [row[column] for row in rows] for column in rows[0]}


def _figures(matrix, scale, n_vectors, steps):
    low, high = extreme_eigenvalues(matrix)
    if matrix.assembled:
        negative = inertia(matrix).negative
    else:
        negative = spectral_density(matrix, n_vectors, steps).count_below(0.0)
    return {
        "n": matrix.n,
        "smallest": low * scale,
        "largest": high * scale,
        "negative": negative,
        "trace": trace(matrix).value * scale,
        "effective_rank": effective_rank(matrix),
    }


def block_of(matrix, part):
    """Return the diagonal block of a `SystemMatrix` at the slice `part`; from products if not assembled."""
    indices = np.arange(matrix.n)[part]
    if matrix.assembled:
        H = matrix.entries()
        block = H[part][:, part] if sparse.issparse(H) else H[part, part]
        return SystemMatrix.from_entries(
            block, shift=matrix.shift, semidefinite=matrix.semidefinite, check=False
        )
    unshifted = matrix.shifted(0.0)

    def product(v):
        embedded = np.zeros(matrix.n, dtype=v.dtype)
        embedded[indices] = v
        return unshifted.product(embedded)[indices]

    return SystemMatrix(
        indices.size,
        product=product,
        product_flops=matrix.product_flops,
        semidefinite=matrix.semidefinite,
        shift=matrix.shift,
        dtype=matrix.dtype,
    )


def _system_matrix(H):
    return H if isinstance(H, SystemMatrix) else SystemMatrix.from_entries(checked_symmetric(H), check=False)


def _rescaled(H):
    """A `SystemMatrix` and the power of two by which it was divided, to bring squares of a user's array into range."""
    if isinstance(H, SystemMatrix):
        return H, 1.0
    H = checked_symmetric(H)
    scale = scale_of(H.data if sparse.issparse(H) else H)
    return SystemMatrix.from_entries(H / scale if scale != 1.0 else H, check=False), scale


def _signs(matrix, n_vectors, seed):
    rng = np.random.default_rng(seed)
    return [rng.choice((-1.0, 1.0), matrix.n).astype(working_dtype(matrix.dtype)) for _ in range(n_vectors)]


__all__ = [
    "Inertia",
    "SpectralDensity",
    "TraceEstimate",
    "block_of",
    "effective_rank",
    "extreme_eigenvalues",
    "inertia",
    "spectral_density",
    "spectrum_table",
    "trace",
]
